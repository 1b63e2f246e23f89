//! Forgets idempotency keys that are older than their senders will repeat, a bounded number in each transaction, by the trusted
//! time of [`key_clock`](crate::domain::key_clock).

use crate::db::{idempotency, key_clock};
use crate::domain::key_clock::KeyClock;
use crate::settings::IdempotencySettings;
use dual_db::{Database, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use worker_threads::{Pace, Periodic};

/// How far the clock may be ahead of the trusted time without a warning: a restart takes some time.
const WARN_BEYOND_US: i64 = 3_600_000_000;

/// The trusted time of this process, shared by the writer, which gives it to new keys, and the purge. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedKeyClock {
    state: Arc<Mutex<State>>,
    kept_us: i64,
}

#[derive(Debug)]
struct State {
    clock: KeyClock,
    advanced: Instant,
    warned: bool,
}

impl SharedKeyClock {
    /// The clock of a database whose keys are kept as the settings say.
    ///
    /// # Errors
    /// The database's.
    pub fn open(database: &Database, settings: &IdempotencySettings) -> Result<Self> {
        let trusted_us = database.write(|connection| {
            let now_us = connection.now_us()?;
            let trusted_us = key_clock::read(connection, now_us)?;
            key_clock::raise(connection, trusted_us)?;
            Ok(trusted_us)
        })?;
        let state = State { clock: KeyClock::begin(trusted_us), advanced: Instant::now(), warned: false };
        Ok(Self { state: Arc::new(Mutex::new(state)), kept_us: kept_us(settings) })
    }

    /// The time that a key gets which is created when the database's clock reads `now_us`.
    pub fn creation_time_us(&self, now_us: i64) -> i64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock.creation_time_us(now_us, dual_db::micros(state.advanced.elapsed()), self.kept_us)
    }

    /// Advances by the time that has passed, shares it with other instances, and returns the time by which keys are old.
    fn advance(&self, database: &Database) -> Result<i64> {
        let (now_us, others_us) = database.read(|connection| {
            let now_us = connection.now_us()?;
            Ok((now_us, key_clock::read(connection, now_us)?))
        })?;
        let (clock, ahead_us) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let elapsed_us = dual_db::micros(state.advanced.elapsed());
            state.advanced = Instant::now();
            let ahead_us = state.clock.advance(now_us, elapsed_us, others_us);
            state.report(ahead_us);
            (state.clock, ahead_us)
        };
        metrics::gauge!("idempotency_clock_ahead_seconds").set(seconds(ahead_us));
        database.write(|connection| key_clock::raise(connection, clock.trusted_us()))?;
        Ok(clock.purge_time_us(now_us))
    }
}

impl State {
    /// Logs once that the clock is far ahead, and once that it no longer is.
    fn report(&mut self, ahead_us: i64) {
        let is_far = ahead_us > WARN_BEYOND_US;
        if is_far && !self.warned {
            tracing::warn!(
                ahead_s = ahead_us / 1_000_000,
                "the clock is ahead of the time that this service is known to have run: idempotency keys are kept until it has run \
                 for as long, or the clock is set right"
            );
        }
        if !is_far && self.warned {
            tracing::info!("the clock is trusted again: idempotency keys are purged as before");
        }
        self.warned = is_far;
    }
}

/// Starts forgetting, at once and then at every interval.
pub fn start(database: Database, settings: IdempotencySettings, clock: SharedKeyClock) -> Periodic {
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
pub fn purge(database: &Database, settings: &IdempotencySettings, clock: &SharedKeyClock) -> Result<usize> {
    let before_us = clock.advance(database)?.saturating_sub(kept_us(settings));
    let purged = database.write(|connection| idempotency::forget(connection, before_us, settings.max_keys_a_purge))?;
    metrics::counter!("idempotency_keys_purged_total").increment(purged as u64);
    Ok(purged)
}

fn kept_us(settings: &IdempotencySettings) -> i64 {
    dual_db::micros(Duration::from_secs(settings.keep_hours.saturating_mul(3_600)))
}

fn seconds(us: i64) -> f64 {
    Duration::from_micros(u64::try_from(us).unwrap_or(0)).as_secs_f64()
}
