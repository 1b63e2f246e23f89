//! The database off the event loop, behind a gate that bounds how many requests wait for it.

use crate::problem::Problem;
use actix_web::web;
use dual_db::{Connection, Database, Error, Result};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How soon a client should come back, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// Why work behind the gate was not done.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// As much as may waits already, or the process stops.
    #[error("too many requests wait for the database")]
    Busy,
    /// The database's. It is logged.
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<GateError> for Problem {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Busy => {
                Self::unavailable("too many requests are being answered: try again shortly", RETRY_AFTER_S)
            }
            GateError::Database(error) if error.is_refusal() => Self::internal(),
            GateError::Database(Error::Unavailable(_) | Error::Conflict | Error::Query(_)) => {
                Self::unavailable("the database is not available: try again shortly", RETRY_AFTER_S)
            }
        }
    }
}

/// A way to the database for requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DatabaseGate {
    database: Database,
    gate: Arc<Semaphore>,
}

impl DatabaseGate {
    /// Lets requests to `database`; more than `max_waiting` at once are refused.
    pub fn new(database: Database, max_waiting: usize) -> Self {
        Self { database, gate: Arc::new(Semaphore::new(max_waiting)) }
    }

    /// Runs a query on a pooled connection.
    ///
    /// # Errors
    /// 503 where too many wait or the database is gone; 500 where it refuses the query, whose cause is logged.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        self.run(move |database| database.read(query)).await
    }

    /// Runs `body` in one transaction, again from its start where it lost a race.
    ///
    /// # Errors
    /// As [`DatabaseGate::read`]. A lost COMMIT may have happened.
    pub async fn write<T: Send + 'static>(
        &self,
        body: impl FnMut(&mut Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        self.run(move |database| database.write(body)).await
    }

    /// Does work that uses the database by itself, in a place behind the gate.
    ///
    /// # Errors
    /// As [`DatabaseGate::read`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        self.try_run(work).await.map_err(Problem::from)
    }

    /// As [`DatabaseGate::run`], for those who do not answer over HTTP.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn try_run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, GateError> {
        let permit = Arc::clone(&self.gate).try_acquire_owned().map_err(|_| GateError::Busy)?;
        let database = self.database.clone();
        let result = web::block(move || {
            let _permit = permit;
            work(&database)
        })
        .await
        .map_err(|_| GateError::Busy)?;
        result.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
            GateError::Database(error)
        })
    }
}
