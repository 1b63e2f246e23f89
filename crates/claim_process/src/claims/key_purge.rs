//! Forgets idempotency keys that are older than their senders will repeat, a bounded number in each transaction. It goes by the
//! trusted clock: one start with a clock that is ahead would forget all of them, and a repeat would make a second claim.

use crate::db::idempotency;
use crate::settings::IdempotencySettings;
use dual_db::{Database, Result, TrustedClock};
use std::time::Duration;
use worker_threads::{Pace, Periodic};

/// Starts forgetting, at once and then at every interval.
pub fn start(database: Database, settings: IdempotencySettings, clock: TrustedClock) -> Periodic {
    let interval = Duration::from_secs(settings.purge_interval_s);
    Periodic::spawn("key purge", interval, move || match purge(&database, &settings, &clock) {
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
pub fn purge(database: &Database, settings: &IdempotencySettings, clock: &TrustedClock) -> Result<usize> {
    let purged = database.write(|connection| {
        let before_us = clock.time_us(connection.now_us()?).saturating_sub(settings.kept_us());
        idempotency::forget(connection, before_us, settings.max_keys_a_purge)
    })?;
    metrics::counter!("idempotency_keys_purged_total").increment(purged as u64);
    Ok(purged)
}
