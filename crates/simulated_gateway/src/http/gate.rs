//! The gate before the database: limits the requests in progress, applies latency and throughput, passes payments and refunds to
//! the writer, and runs the queries of the others on threads that may block.

use crate::domain::faults::Outcome;
use crate::domain::request::{PaymentRequest, RefundRequest};
use crate::domain::response::{PaymentResponse, RefundResponse};
use crate::domain::rules::Rules;
use crate::domain::throughput::{Admission, Throughput};
use crate::settings::{BehaviourSettings, ThroughputSettings};
use crate::writer::{NotCommitted, Writer};
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
    writer: Writer,
    permits: Arc<Semaphore>,
    latency: Duration,
    latency_spread: Duration,
    rng: Mutex<Rng>,
    throughput: Option<Mutex<Throughput>>,
    refuse_with: StatusCode,
    started: Instant,
}

impl Gate {
    /// A gate before `database`. The seed of the random latency is that of the faults.
    pub fn new(
        database: Database,
        behaviour: &BehaviourSettings,
        throughput: &ThroughputSettings,
        rules: Rules,
    ) -> Self {
        Self {
            writer: Writer::start(database.clone(), rules, behaviour),
            database,
            permits: Arc::new(Semaphore::new(behaviour.capacity)),
            latency: Duration::from_millis(behaviour.latency_ms),
            latency_spread: Duration::from_millis(behaviour.latency_spread_ms),
            rng: Mutex::new(Rng::with_seed(rules.faults.seed)),
            throughput: throughput.throughput().map(Mutex::new),
            refuse_with: StatusCode::from_u16(throughput.refuse_with).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            started: Instant::now(),
        }
    }

    /// Pays, after the gateway's latency and when its throughput allows. The request holds its permit meanwhile.
    ///
    /// # Errors
    /// As [`run`](Self::run), and 503 or 429 if the throughput is exceeded.
    pub async fn pay(&self, request: PaymentRequest) -> Result<Outcome<PaymentResponse>, Problem> {
        let permit = self.enter_as_payer().await?;
        self.writer.pay(request, permit).await.map_err(not_committed)
    }

    /// Refunds.
    ///
    /// # Errors
    /// As [`pay`](Self::pay).
    pub async fn refund(&self, request: RefundRequest) -> Result<Outcome<RefundResponse>, Problem> {
        let permit = self.enter_as_payer().await?;
        self.writer.refund(request, permit).await.map_err(not_committed)
    }

    /// Runs a query for a payer.
    ///
    /// # Errors
    /// As [`pay`](Self::pay).
    pub async fn run_for_payer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.enter_as_payer().await?;
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

    /// Enters, and waits for the latency and the throughput.
    async fn enter_as_payer(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = self.enter()?;
        let wait = self.latency() + self.pace()?;
        // Even a wait of nothing would end only with the next tick of the timer.
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(permit)
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
            unavailable()
        }
        Error::Query(_) => {
            tracing::error!(error = error as &dyn std::error::Error, "database query failed");
            Problem::internal()
        }
    }
}

fn not_committed(error: NotCommitted) -> Problem {
    match error {
        NotCommitted::Unavailable => unavailable(),
        NotCommitted::Failed => Problem::internal(),
    }
}

fn unavailable() -> Problem {
    Problem::unavailable("the database of the gateway is unavailable: send the same request again", RETRY_AFTER_S)
}
