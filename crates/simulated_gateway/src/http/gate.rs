//! The gate before the database: limits the requests in progress, applies latency and throughput, and runs the work on threads
//! that may block.

use crate::domain::throughput::{Admission, Throughput};
use crate::settings::{BehaviourSettings, ThroughputSettings};
use actix_web::http::StatusCode;
use actix_web::web;
use dual_db::{Database, Error};
use fastrand::Rng;
use service_runtime::problem::Problem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The `Retry-After` of a refused request, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// The gate, which all threads that serve HTTP share.
#[derive(Debug)]
pub struct Gate {
    database: Database,
    permits: Arc<Semaphore>,
    latency: Duration,
    latency_spread: Duration,
    rng: Mutex<Rng>,
    throughput: Option<Mutex<Throughput>>,
    refuse_with: StatusCode,
    started: Instant,
}

impl Gate {
    /// A gate before `database`. `seed` is the seed of the random latency.
    pub fn new(database: Database, behaviour: &BehaviourSettings, throughput: &ThroughputSettings, seed: u64) -> Self {
        Self {
            database,
            permits: Arc::new(Semaphore::new(behaviour.capacity)),
            latency: Duration::from_millis(behaviour.latency_ms),
            latency_spread: Duration::from_millis(behaviour.latency_spread_ms),
            rng: Mutex::new(Rng::with_seed(seed)),
            throughput: throughput.throughput().map(Mutex::new),
            refuse_with: StatusCode::from_u16(throughput.refuse_with).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            started: Instant::now(),
        }
    }

    /// Runs `work` for a payer, after the gateway's latency and when its throughput allows. The request holds its permit
    /// meanwhile.
    ///
    /// # Errors
    /// As [`run`](Self::run), and 503 or 429 if the throughput is exceeded.
    pub async fn run_for_payer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.enter()?;
        tokio::time::sleep(self.latency() + self.pace()?).await;
        self.work(permit, work).await
    }

    /// Runs `work` on a thread that may block.
    ///
    /// # Errors
    /// 503 if no permit is free or the database is unavailable; 500, with the cause in the log, if a query fails.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.enter()?;
        self.work(permit, work).await
    }

    /// The latency of the next request.
    fn latency(&self) -> Duration {
        // No thread panics while it holds this lock.
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.latency + self.latency_spread.mul_f64(rng.f64())
    }

    /// How long a request that arrives now takes by the throughput.
    fn pace(&self) -> Result<Duration, Problem> {
        let Some(throughput) = &self.throughput else { return Ok(Duration::ZERO) };
        // No thread panics while it holds this lock.
        let mut throughput = throughput.lock().unwrap_or_else(PoisonError::into_inner);
        match throughput.admit(self.started.elapsed().as_secs_f64()) {
            Admission::DoneAfterUs(us) => Ok(Duration::from_micros(us)),
            Admission::Refused { retry_after_s } => {
                let detail = "the throughput of the gateway is exceeded: send the same request again";
                let refused = Problem::new(self.refuse_with, "too-much-to-do", "Throughput exceeded", detail);
                Err(refused.retry_after(retry_after_s))
            }
        }
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            Problem::unavailable("the gateway is at its capacity: send the same request again", RETRY_AFTER_S)
        })
    }

    async fn work<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce(&Database) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let database = self.database.clone();
        // The closure owns the permit: if the client disconnects, this future is dropped, but the work goes on.
        let working = web::block(move || {
            let result = work(&database);
            drop(permit);
            result
        });
        match working.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => {
                tracing::error!("the work on a request panicked");
                Err(Problem::internal())
            }
        }
    }
}

fn explain(error: &Error) -> Problem {
    match error {
        Error::Unavailable(_) | Error::Failed(_) | Error::Conflict => {
            tracing::warn!(%error, "database of the book unavailable");
            Problem::unavailable(
                "the database of the gateway is unavailable: send the same request again",
                RETRY_AFTER_S,
            )
        }
        Error::Query(_) => {
            tracing::error!(error = error as &dyn std::error::Error, "database query failed");
            Problem::internal()
        }
    }
}
