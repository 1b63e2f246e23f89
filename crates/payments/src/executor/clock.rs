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
            Clock::Virtual(now_us) => Ok(now_us.load(Ordering::SeqCst)),
        }
    }
}
