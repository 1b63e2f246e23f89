//! Forgets idempotency keys that are older than their senders will repeat, a bounded number in each transaction.

use crate::db::idempotency;
use crate::settings::IdempotencySettings;
use dual_db::{Database, Result};
use std::time::Duration;
use worker_threads::{Pace, Periodic};

/// Starts forgetting, at once and then at every interval.
pub fn start(database: Database, settings: IdempotencySettings) -> Periodic {
    let interval = Duration::from_secs(settings.purge_interval_s);
    Periodic::spawn("key purge", interval, move || match purge(&database, &settings) {
        Ok(purged) if purged == settings.max_keys_a_purge => Pace::Again,
        Ok(_) => Pace::Pause,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "old idempotency keys could not be forgotten");
            Pace::Pause
        }
    })
}

/// Forgets the oldest of those that are too old, and returns how many.
///
/// # Errors
/// The database's.
pub fn purge(database: &Database, settings: &IdempotencySettings) -> Result<usize> {
    let kept_us = dual_db::micros(Duration::from_secs(settings.keep_hours.saturating_mul(3_600)));
    let purged = database.write(|connection| {
        let before_us = connection.now_us()?.saturating_sub(kept_us);
        idempotency::forget(connection, before_us, settings.max_keys_a_purge)
    })?;
    metrics::counter!("idempotency_keys_purged_total").increment(purged as u64);
    Ok(purged)
}
