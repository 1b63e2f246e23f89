//! The connection: an enum with a variant for each backend, its transactions, and the database's clock.

use crate::Result;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::{PgConnection, SqliteConnection, sql_query};
use std::time::{SystemTime, UNIX_EPOCH};

/// A connection to either database. Queries go through [`on_each_backend!`](crate::on_each_backend).
#[allow(missing_debug_implementations)]
pub enum Connection {
    /// SQLite, compiled in.
    Sqlite(SqliteConnection),
    /// PostgreSQL, over libpq.
    Postgres(PgConnection),
}

/// Expands one Diesel expression for each backend, so that it is written once and type-checked against both.
///
/// ```text
/// let found: Option<String> = on_each_backend!(connection, |c| {
///     claims::table.select(claims::claim_id).first(c).optional()
/// })?;
/// ```
#[macro_export]
macro_rules! on_each_backend {
    ($connection:expr, |$c:ident| $query:expr) => {
        match $connection {
            $crate::Connection::Sqlite($c) => $query,
            $crate::Connection::Postgres($c) => $query,
        }
    };
}

/// Loads the rows of a select and locks them until the transaction ends, without those that other transactions have locked: on
/// PostgreSQL by `FOR UPDATE SKIP LOCKED`. On SQLite there are no such rows, as a transaction is the only writer.
#[macro_export]
macro_rules! load_skipping_locked {
    ($connection:expr, $query:expr) => {
        match $connection {
            $crate::Connection::Sqlite(c) => $query.load(c),
            $crate::Connection::Postgres(c) => $query.for_update().skip_locked().load(c),
        }
    };
}

/// Loads the rows of a select and locks them until the transaction ends, waiting for transactions that have locked them: on
/// PostgreSQL by `FOR UPDATE`. On SQLite a transaction is the only writer.
#[macro_export]
macro_rules! load_for_update {
    ($connection:expr, $query:expr) => {
        match $connection {
            $crate::Connection::Sqlite(c) => $query.load(c),
            $crate::Connection::Postgres(c) => $query.for_update().load(c),
        }
    };
}

#[derive(QueryableByName)]
struct Clock {
    #[diesel(sql_type = BigInt)]
    now_us: i64,
}

impl Connection {
    /// Runs `body` in one transaction, which is committed if it returns `Ok` and rolled back otherwise.
    ///
    /// On SQLite the transaction takes the write lock at its start: a transaction that reads first and writes later can get
    /// `SQLITE_BUSY` at once, whatever the time-out.
    pub fn transaction<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.transaction_begun_by("BEGIN", body)
    }

    /// As [`Connection::transaction`], which these statements begin on PostgreSQL.
    pub(crate) fn transaction_begun_by<T>(
        &mut self,
        begin: &str,
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        match self {
            Connection::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")?,
            Connection::Postgres(c) => AnsiTransactionManager::begin_transaction_sql(c, begin)?,
        }
        match body(self) {
            Ok(value) => {
                on_each_backend!(self, |c| AnsiTransactionManager::commit_transaction(c))?;
                Ok(value)
            }
            Err(error) => {
                // The first error is the one to return. The pool discards a connection that cannot roll back.
                let _ = on_each_backend!(self, |c| AnsiTransactionManager::rollback_transaction(c));
                Err(error)
            }
        }
    }

    /// Runs `queries` on one snapshot of the database, so that their results are consistent. They must not write. Each may
    /// take as long as the setting `report_timeout_ms` allows: they read many rows.
    ///
    /// In a read it comes first: behind a pooler the read is a transaction, and only its first query can choose the isolation.
    pub fn snapshot<T>(&mut self, queries: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let limit = self.session().report;
        self.with_long_statements(limit, |connection| {
            let longer = format!("SET LOCAL statement_timeout = {}", limit.as_millis());
            if let Connection::Postgres(c) = connection
                && AnsiTransactionManager::transaction_manager_status_mut(c).transaction_depth()?.is_some()
            {
                c.batch_execute(&format!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; {longer}"))?;
                return queries(connection);
            }
            let begin = match connection {
                Connection::Sqlite(_) => "BEGIN".to_owned(),
                Connection::Postgres(_) => format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {longer}"),
            };
            on_each_backend!(connection, |c| AnsiTransactionManager::begin_transaction_sql(c, &begin))?;
            let result = queries(connection);
            // There is nothing to commit. The pool discards a connection that cannot roll back.
            let _ = on_each_backend!(connection, |c| AnsiTransactionManager::rollback_transaction(c));
            result
        })
    }

    /// The time by the database's clock, in microseconds since 1970 (UTC). All instances share this clock, as leases and
    /// deadlines require. On SQLite it is the clock of this machine.
    pub fn now_us(&mut self) -> Result<i64> {
        match self {
            Connection::Sqlite(_) => Ok(SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))),
            Connection::Postgres(c) => {
                let clock: Clock =
                    sql_query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us")
                        .get_result(c)?;
                Ok(clock.now_us)
            }
        }
    }

    /// A round trip to the database, for health checks.
    pub fn ping(&mut self) -> Result<()> {
        on_each_backend!(self, |c| sql_query("SELECT 1").execute(c))?;
        Ok(())
    }
}
