//! Runs database work outside the event loop, and limits the number of requests that wait for it.

use crate::problem::Problem;
use actix_web::web;
use dual_db::{Connection, Database, Error, Result};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The `Retry-After` of a refused request, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// Access to the database for requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DatabaseGate {
    database: Database,
    gate: Arc<Semaphore>,
}

impl DatabaseGate {
    /// Gives requests access to `database`; more than `max_waiting` concurrent ones are refused.
    pub fn new(database: Database, max_waiting: usize) -> Self {
        Self { database, gate: Arc::new(Semaphore::new(max_waiting)) }
    }

    /// Runs a query on a pooled connection.
    ///
    /// # Errors
    /// 503 if too many requests wait or the database is unavailable; 500 if it refuses the query, with the cause in the log.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        self.run(move |database| database.read(query)).await
    }

    /// Runs `body` in one transaction, and retries it from the start if it lost a race.
    ///
    /// # Errors
    /// As [`DatabaseGate::read`]. After a lost connection the COMMIT may have happened.
    pub async fn write<T: Send + 'static>(
        &self,
        body: impl FnMut(&mut Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        self.run(move |database| database.write(body)).await
    }

    /// Runs work that uses the database itself, within the limit of the gate.
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
