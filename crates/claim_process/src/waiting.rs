//! The gauges of what waits for a person: counted in the database at an interval, for all instances, so that they fall when it
//! is dealt with.

use crate::db::attention;
use dual_db::{Database, Result};
use std::time::Duration;
use worker_threads::{Pace, Periodic};

/// Starts counting.
pub fn start(database: Database, every: Duration) -> Periodic {
    Periodic::spawn("waiting counter", every, move || {
        // While the database is away, the last numbers stand.
        if let Err(error) = count(&database) {
            tracing::debug!(error = &error as &dyn std::error::Error, "what waits for a person not counted; retrying");
        }
        Pace::Pause
    })
}

/// Sets the gauges.
///
/// # Errors
/// The database's.
pub fn count(database: &Database) -> Result<()> {
    let (attention, dead_letters) = database
        .read(|connection| Ok((attention::count(connection)?, event_bus::count_waiting_dead_letters(connection)?)))?;
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    metrics::gauge!("claims_needing_attention").set(number(attention));
    metrics::gauge!("dead_letters_waiting").set(number(dead_letters));
    Ok(())
}
