//! Whose clock counts. Instances that share a database go by its clock, so that theirs need not agree.

use dual_db::{Connection, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Whose clock counts.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The database's.
    Database,
    /// One that is set by hand, in microseconds since 1970: time in a simulation.
    Virtual(Arc<AtomicI64>),
}

impl Clock {
    /// The time, in microseconds since 1970 (UTC).
    ///
    /// # Errors
    /// The database's.
    pub fn now_us(&self, connection: &mut Connection) -> Result<i64> {
        match self {
            Clock::Database => connection.now_us(),
            Clock::Virtual(_) => Ok(self.of(0)),
        }
    }

    /// The same, where the database's time is known already.
    pub(super) fn of(&self, database_us: i64) -> i64 {
        match self {
            Clock::Database => database_us,
            Clock::Virtual(now_us) => now_us.load(Ordering::SeqCst),
        }
    }
}
