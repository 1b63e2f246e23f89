//! The settings of a database: its address, the size of its pool, and a bound on every wait.

use crate::DatabaseUrl;
use serde::{Deserialize, Serialize};
use validator::Validate;

/// How to reach a database and how long to wait for it.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite://path/to/file.db` or `postgres://user:password@host:port/name`.
    #[validate(length(
        min = 1,
        message = "name a database: sqlite://path/to/file.db or postgres://user:password@host/name"
    ))]
    pub url: DatabaseUrl,
    /// Connections in the pool (on SQLite: readers; there is one writer besides).
    #[validate(range(min = 1, max = 500, message = "must be 1 to 500"))]
    pub max_connections: u32,
    /// How long a caller waits for a free connection, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub checkout_timeout_ms: u64,
    /// SQLite: how long a statement waits for another writer, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub busy_timeout_ms: u64,
    /// PostgreSQL: how long a start waits for a database that cannot be reached, in milliseconds; each attempt is logged.
    #[validate(range(max = 3_600_000, message = "must be at most 3600000"))]
    pub start_timeout_ms: u64,
    /// PostgreSQL: the longest a statement may run, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub statement_timeout_ms: u64,
    /// PostgreSQL: the longest a statement waits for a lock, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub lock_timeout_ms: u64,
    /// PostgreSQL: how long a stopped process may sit inside a transaction and hold its locks, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub idle_in_transaction_timeout_ms: u64,
    /// How often a transaction that lost a race is run again before its error is returned.
    #[validate(range(max = 100, message = "must be at most 100"))]
    pub max_retries: u32,
    /// Whether a start applies missing migrations. Where it does not, the command `migrate` does, and a start without them
    /// fails.
    pub migrate_at_start: bool,
}

impl DatabaseSettings {
    /// The defaults, for the database at `url`.
    pub fn at(url: impl Into<DatabaseUrl>) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            checkout_timeout_ms: 5_000,
            busy_timeout_ms: 5_000,
            start_timeout_ms: 0,
            statement_timeout_ms: 10_000,
            lock_timeout_ms: 5_000,
            idle_in_transaction_timeout_ms: 15_000,
            max_retries: 8,
            migrate_at_start: true,
        }
    }
}
