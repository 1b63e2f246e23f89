//! Runs database work outside the event loop, and limits the number of requests that wait for it, and for how long they wait.

use crate::problem::Problem;
use actix_web::web;
use dual_db::{Connection, Database, Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The `Retry-After` of a refused request, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// The reason why the work was not done.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Too many requests wait already, or the process is stopping.
    #[error("too many requests wait for the database")]
    Busy,
    /// The database did not answer in time. What was asked of it may still be done.
    #[error("the database did not answer in time")]
    TooSlow,
    /// The error of the database, already logged.
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<GateError> for Problem {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Busy => {
                Self::unavailable("too many requests are being answered: try again shortly", RETRY_AFTER_S)
            }
            GateError::Database(Error::Query(_)) => Self::internal(),
            GateError::TooSlow | GateError::Database(Error::Unavailable(_) | Error::Failed(_) | Error::Conflict) => {
                Self::unavailable("the database is not available: try again shortly", RETRY_AFTER_S)
            }
        }
    }
}

/// Access to the database for requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DatabaseGate {
    database: Database,
    gate: Arc<Semaphore>,
    timeout: Duration,
    report_timeout: Duration,
}

impl DatabaseGate {
    /// Gives requests access to `database`; more than `max_waiting` concurrent ones are refused. A request waits for `timeout`,
    /// and one for a report over many rows for `report_timeout`.
    pub fn new(database: Database, max_waiting: usize, timeout: Duration, report_timeout: Duration) -> Self {
        Self { database, gate: Arc::new(Semaphore::new(max_waiting)), timeout, report_timeout }
    }

    /// The same gate, for reports over many rows.
    #[must_use]
    pub fn for_reports(&self) -> Self {
        Self { timeout: self.report_timeout, ..self.clone() }
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
        self.try_run(work).await.map_err(Problem::from)
    }

    /// As [`DatabaseGate::run`], for those who do not answer over HTTP.
    ///
    /// Work that takes longer than the time-out goes on, and keeps its permit until it returns: so there are never more threads
    /// that wait for a silent database than permits.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn try_run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, GateError> {
        let permit = Arc::clone(&self.gate).try_acquire_owned().map_err(|_| GateError::Busy)?;
        let database = self.database.clone();
        let working = web::block(move || {
            let _permit = permit;
            work(&database)
        });
        let Ok(result) = tokio::time::timeout(self.timeout, working).await else {
            tracing::warn!(timeout_ms = self.timeout.as_millis(), "a request was answered before the database");
            return Err(GateError::TooSlow);
        };
        result.map_err(|_| GateError::Busy)?.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
            GateError::Database(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;
    use actix_web::http::StatusCode;
    use std::sync::mpsc::channel;
    use test_support::{TestDatabase, eventually};

    #[actix_web::test]
    async fn a_request_is_answered_in_time_and_the_work_keeps_its_permit_until_it_returns() {
        let test = TestDatabase::sqlite();
        let [timeout, report_timeout] = [50, 60_000].map(Duration::from_millis);
        let gate = DatabaseGate::new(test.database().clone(), 1, timeout, report_timeout);
        let (release, released) = channel::<()>();
        let stuck = move |_: &Database| {
            let _ = released.recv();
            Ok(())
        };
        let late = gate.run(stuck).await.expect_err("it takes too long");
        assert_eq!(late.status_code(), StatusCode::SERVICE_UNAVAILABLE);
        let busy = gate.try_run(|_| Ok(())).await.expect_err("the permit is in use");
        assert!(matches!(busy, GateError::Busy));
        drop(release);
        eventually("the permit is free", async || gate.for_reports().try_run(|_| Ok(())).await.ok()).await;
    }
}
