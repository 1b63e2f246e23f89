//! The trusted clock of a service: [`TrustedTime`](crate::trusted_time::TrustedTime), kept in the database and shared by all
//! instances. What forgets or gives up something for its age goes by it, as one wrong reading of a clock cannot be taken back.

use crate::trusted_time::TrustedTime;
use crate::{Connection, Database, Result, micros, on_each_backend};
use diesel::prelude::*;
use schema::trusted_clock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use worker_threads::{Pace, Periodic};

/// How often the trusted time is stored.
const STORE_EVERY: Duration = Duration::from_secs(60);

/// How far the clock may be ahead without a warning: a restart takes some time.
const WARN_BEYOND_US: i64 = 3_600_000_000;

/// The one row.
const ID: i64 = 1;

/// The table, which the migrations of each service create.
#[allow(missing_docs)]
pub mod schema {
    diesel::table! {
        trusted_clock (id) {
            id -> BigInt,
            at_us -> BigInt,
        }
    }
}

/// The trusted clock of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TrustedClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    time: TrustedTime,
    advanced: Instant,
    warned: bool,
}

impl TrustedClock {
    /// The trusted clock of a database. One that has none yet begins with the time of the service's newest row, or now where
    /// there is no row.
    ///
    /// # Errors
    /// The database's.
    pub fn open(database: &Database, newest_row_us: impl Fn(&mut Connection) -> Result<Option<i64>>) -> Result<Self> {
        let trusted_us = database.write(|connection| {
            if let Some(stored_us) = read(connection)? {
                return Ok(stored_us);
            }
            let now_us = connection.now_us()?;
            let trusted_us = newest_row_us(connection)?.map_or(now_us, |newest_us| newest_us.min(now_us));
            raise(connection, trusted_us)?;
            Ok(trusted_us)
        })?;
        let state = State { time: TrustedTime::begin(trusted_us), advanced: Instant::now(), warned: false };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// Starts to advance it, once a minute.
    pub fn keep(&self, database: Database) -> Periodic {
        let clock = self.clone();
        Periodic::spawn("trusted clock", STORE_EVERY, move || {
            if let Err(error) = clock.advance(&database) {
                tracing::warn!(error = &error as &dyn std::error::Error, "trusted time not stored; retrying");
            }
            Pace::Pause
        })
    }

    /// The time by which things are old, where the database's clock reads `now_us`: that time, or the trusted one if it is
    /// earlier.
    pub fn time_us(&self, now_us: i64) -> i64 {
        self.with(|time, elapsed_us| now_us.min(time.after(elapsed_us)))
    }

    /// The time from which on something new is kept for `kept_us`, where the database's clock reads `now_us`. A clock that is
    /// behind is made up for.
    pub fn creation_time_us(&self, now_us: i64, kept_us: i64) -> i64 {
        self.with(|time, elapsed_us| time.creation_time_us(now_us, elapsed_us, kept_us))
    }

    fn with<T>(&self, of: impl FnOnce(TrustedTime, i64) -> T) -> T {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        of(state.time, micros(state.advanced.elapsed()))
    }

    /// Advances by the time that has passed, and shares it with other instances.
    fn advance(&self, database: &Database) -> Result<()> {
        let (now_us, others_us) =
            database.read(|connection| Ok((connection.now_us()?, read(connection)?.unwrap_or(i64::MIN))))?;
        let trusted_us = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let elapsed_us = micros(state.advanced.elapsed());
            state.advanced = Instant::now();
            let ahead_us = state.time.advance(now_us, elapsed_us, others_us);
            state.report(ahead_us);
            state.time.trusted_us()
        };
        database.write(|connection| raise(connection, trusted_us))
    }
}

impl State {
    /// Logs once that the clock is far ahead, and once that it no longer is.
    fn report(&mut self, ahead_us: i64) {
        let ahead = Duration::from_micros(u64::try_from(ahead_us).unwrap_or(0));
        metrics::gauge!("clock_ahead_seconds").set(ahead.as_secs_f64());
        let is_far = ahead_us > WARN_BEYOND_US;
        if is_far && !self.warned {
            tracing::warn!(
                ahead_s = ahead.as_secs(),
                "the clock is ahead of the time that this service is known to have run: nothing is forgotten or given up for its age \
                 until it has run for as long, or the clock is set right"
            );
        }
        if !is_far && self.warned {
            tracing::info!("the clock is trusted again");
        }
        self.warned = is_far;
    }
}

fn read(connection: &mut Connection) -> Result<Option<i64>> {
    Ok(on_each_backend!(connection, |c| {
        trusted_clock::table.find(ID).select(trusted_clock::at_us).first(c).optional()
    })?)
}

/// Raises the stored time; a later one stays.
fn raise(connection: &mut Connection, at_us: i64) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::insert_into(trusted_clock::table)
            .values((trusted_clock::id.eq(ID), trusted_clock::at_us.eq(at_us)))
            .on_conflict_do_nothing()
            .execute(c)
    })?;
    on_each_backend!(connection, |c| {
        diesel::update(trusted_clock::table.find(ID).filter(trusted_clock::at_us.lt(at_us)))
            .set(trusted_clock::at_us.eq(at_us))
            .execute(c)
    })?;
    Ok(())
}
