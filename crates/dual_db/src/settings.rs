//! The settings of a database: its URL, the size of its pool, and a time-out for every wait.

use crate::DatabaseUrl;
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

/// The URL of a database, its pool and its time-outs.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "timeouts_in_order"))]
pub struct DatabaseSettings {
    /// `sqlite://path/to/file.db` or `postgres://user:password@host:port/name`.
    #[validate(length(
        min = 1,
        message = "name a database: sqlite://path/to/file.db or postgres://user:password@host/name"
    ))]
    pub url: DatabaseUrl,
    /// Connections in the pool. On SQLite these are readers, and there is one more connection that writes.
    #[validate(range(min = 1, max = 500, message = "must be 1 to 500"))]
    pub max_connections: u32,
    /// How long a caller waits for a free connection, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub checkout_timeout_ms: u64,
    /// SQLite: how long a statement waits for another writer, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub busy_timeout_ms: u64,
    /// SQLite: the largest file that is checked for damage at the start, and after an error that damage may cause, in megabytes.
    /// The check reads the whole file. 0: none is checked.
    #[validate(range(max = 1_000_000_000, message = "must be at most 1000000000"))]
    pub check_max_megabytes: u64,
    /// PostgreSQL: how long the start retries to connect to an unreachable database, in milliseconds; each attempt is logged.
    #[validate(range(max = 3_600_000, message = "must be at most 3600000"))]
    pub start_timeout_ms: u64,
    /// PostgreSQL: the longest a statement may run, in milliseconds. The server ends it then.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub statement_timeout_ms: u64,
    /// PostgreSQL: how long a statement waits for an answer, in milliseconds; longer than `statement_timeout_ms`. The server, a
    /// proxy or the network is silent then: the connection is closed, and all that were opened before it are replaced.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub silence_timeout_ms: u64,
    /// PostgreSQL: the longest a transaction may take before its last statement begins, in milliseconds, however short each
    /// statement is; at least `silence_timeout_ms`. The connection is closed then. Reports and migrations are not bounded so.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub transaction_timeout_ms: u64,
    /// PostgreSQL: the longest a statement waits for a lock, in milliseconds; at most `statement_timeout_ms`.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub lock_timeout_ms: u64,
    /// PostgreSQL: the longest that a statement of a report over many rows may run, in milliseconds: the reconciliation and the
    /// audit.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub report_timeout_ms: u64,
    /// PostgreSQL: the longest that a statement of a migration may run, in milliseconds. It may rewrite a table, or wait for
    /// another instance that migrates.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub migration_timeout_ms: u64,
    /// PostgreSQL: how long a process that was stopped inside a transaction keeps its locks, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub idle_in_transaction_timeout_ms: u64,
    /// PostgreSQL: the kind of proxy in between: `none`, which includes poolers in session mode, or `transaction`, such as
    /// PgBouncer with `pool_mode = transaction`.
    pub pooler: Pooler,
    /// How often a transaction that lost a race is run again before its error is returned.
    #[validate(range(max = 100, message = "must be at most 100"))]
    pub max_retries: u32,
    /// Whether the start applies missing migrations. If not, the command `migrate` applies them, and a start fails while any is
    /// missing.
    pub migrate_at_start: bool,
}

/// The kind of proxy between the process and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooler {
    /// A connection keeps one session of the server. A start behind a transaction pooler is refused.
    None,
    /// Each transaction gets any session of the server. Nothing that lasts longer than a transaction is set or prepared in one,
    /// and every read is a transaction.
    Transaction,
}

impl DatabaseSettings {
    /// The defaults, for the database at `url`.
    pub fn at(url: impl Into<DatabaseUrl>) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            checkout_timeout_ms: 4_000,
            busy_timeout_ms: 4_000,
            check_max_megabytes: 2_048,
            start_timeout_ms: 0,
            statement_timeout_ms: 4_000,
            silence_timeout_ms: 5_000,
            transaction_timeout_ms: 15_000,
            lock_timeout_ms: 3_000,
            report_timeout_ms: 60_000,
            migration_timeout_ms: 3_600_000,
            idle_in_transaction_timeout_ms: 15_000,
            pooler: Pooler::None,
            max_retries: 8,
            migrate_at_start: true,
        }
    }
}

fn timeouts_in_order(settings: &DatabaseSettings) -> Result<(), ValidationError> {
    let problem = |code, message: &'static str| Err(ValidationError::new(code).with_message(message.into()));
    if settings.silence_timeout_ms <= settings.statement_timeout_ms {
        return problem(
            "silence_timeout_ms",
            "database.silence_timeout_ms must be greater than database.statement_timeout_ms: the server ends a slow statement \
             first, and the connection is kept",
        );
    }
    if settings.transaction_timeout_ms < settings.silence_timeout_ms {
        return problem(
            "transaction_timeout_ms",
            "database.transaction_timeout_ms must be at least database.silence_timeout_ms: a transaction may be one statement",
        );
    }
    if settings.lock_timeout_ms > settings.statement_timeout_ms {
        return problem(
            "lock_timeout_ms",
            "database.lock_timeout_ms must be at most database.statement_timeout_ms: a statement ends before it could wait longer",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_before_its_connection_and_transaction_and_a_lock_is_not_waited_for_longer() {
        let defaults = DatabaseSettings::at("sqlite://claims.db");
        defaults.validate().expect("the defaults are in order");
        let silent = DatabaseSettings { silence_timeout_ms: defaults.statement_timeout_ms, ..defaults.clone() };
        assert!(silent.validate().expect_err("silence").to_string().contains("silence_timeout_ms"));
        let short = DatabaseSettings { transaction_timeout_ms: defaults.silence_timeout_ms - 1, ..defaults.clone() };
        assert!(short.validate().expect_err("short").to_string().contains("transaction_timeout_ms"));
        let locked = DatabaseSettings { lock_timeout_ms: defaults.statement_timeout_ms + 1, ..defaults };
        assert!(locked.validate().expect_err("locks").to_string().contains("lock_timeout_ms"));
    }
}
