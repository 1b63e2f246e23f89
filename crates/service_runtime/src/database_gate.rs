//! The database off the event loop, behind a gate that bounds how many requests wait for it.

use crate::problem::Problem;
use actix_web::web;
use dual_db::{Connection, Database, Error, Result};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How soon a client should come back, in seconds.
const RETRY_AFTER_S: u64 = 1;

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
        let busy = || Problem::unavailable("too many requests are being answered: try again shortly", RETRY_AFTER_S);
        let permit = Arc::clone(&self.gate).try_acquire_owned().map_err(|_| busy())?;
        let database = self.database.clone();
        let result = web::block(move || {
            let _permit = permit;
            work(&database)
        })
        .await
        .map_err(|_| busy())?;
        result.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
            match error {
                _ if error.is_refusal() => Problem::internal(),
                Error::Unavailable(_) | Error::Conflict | Error::Query(_) => {
                    Problem::unavailable("the database is not available: try again shortly", RETRY_AFTER_S)
                }
            }
        })
    }
}
