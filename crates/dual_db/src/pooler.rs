//! PostgreSQL's time-outs: set once for a session or, behind a pooler that gives each transaction any session, in each transaction.

use crate::{Connection, DatabaseSettings, Pooler, Result};
use diesel::connection::{CacheSize, SimpleConnection};
use diesel::{Connection as _, PgConnection, QueryResult};
use std::sync::Arc;

/// Sets up a new connection. Behind a pooler it leaves no trace in the server's session, which other clients use too.
///
/// Diesel itself sets the time zone and the encoding of a session; poolers restore these two for each client.
pub(crate) fn set_up(connection: &mut PgConnection, settings: &DatabaseSettings) -> QueryResult<()> {
    match settings.pooler {
        Pooler::None => connection.batch_execute(&timeouts("SET", settings)),
        Pooler::Transaction => {
            // A statement without a name is parsed and executed in one round, so in one server session.
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
            Ok(())
        }
    }
}

fn timeouts(set: &str, settings: &DatabaseSettings) -> String {
    format!(
        "{set} statement_timeout = {}; {set} lock_timeout = {}; {set} idle_in_transaction_session_timeout = {}",
        settings.statement_timeout_ms, settings.lock_timeout_ms, settings.idle_in_transaction_timeout_ms
    )
}

/// How reads and transactions are run so that the time-outs hold in them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transactions {
    /// What begins a transaction on PostgreSQL, if the session cannot hold the time-outs.
    begin: Option<Arc<str>>,
}

impl Transactions {
    pub(crate) fn on_postgres(settings: &DatabaseSettings) -> Self {
        let begin = match settings.pooler {
            Pooler::None => None,
            Pooler::Transaction => Some(format!("BEGIN; {}", timeouts("SET LOCAL", settings)).into()),
        };
        Self { begin }
    }

    /// Runs a query, in a transaction if it would otherwise have no time-outs.
    pub(crate) fn read<T>(
        &self,
        connection: &mut Connection,
        query: impl FnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        match &self.begin {
            None => query(connection),
            Some(begin) => connection.transaction_begun_by(begin, query),
        }
    }

    /// Runs `body`, whose one statement that writes is a transaction by itself: in a transaction only where there would otherwise
    /// be no time-outs, and on SQLite.
    pub(crate) fn write_statement<T>(
        &self,
        connection: &mut Connection,
        body: impl FnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        if self.begin.is_none() && matches!(connection, Connection::Postgres(_)) {
            body(connection)
        } else {
            self.write(connection, body)
        }
    }

    /// Runs `body` in one transaction, as [`Connection::transaction`] does.
    pub(crate) fn write<T>(
        &self,
        connection: &mut Connection,
        body: impl FnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        match &self.begin {
            None => connection.transaction(body),
            Some(begin) => connection.transaction_begun_by(begin, body),
        }
    }
}
