//! The gate before the database: bounds how many requests are worked on, lets through what the gateway can take, and keeps
//! the work off the threads that serve HTTP.

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

/// When a refused request may come again, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// The gate. One for all threads that serve HTTP.
#[derive(Debug)]
pub struct Gate {
    database: Database,
    places: Arc<Semaphore>,
    latency: Duration,
    latency_spread: Duration,
    chance: Mutex<Rng>,
    throughput: Option<Mutex<Throughput>>,
    refuse_with: StatusCode,
    started: Instant,
}

impl Gate {
    /// A gate before `database`. `seed` is that of the latency's spread.
    pub fn new(database: Database, behaviour: &BehaviourSettings, throughput: &ThroughputSettings, seed: u64) -> Self {
        Self {
            database,
            places: Arc::new(Semaphore::new(behaviour.capacity)),
            latency: Duration::from_millis(behaviour.latency_ms),
            latency_spread: Duration::from_millis(behaviour.latency_spread_ms),
            chance: Mutex::new(Rng::with_seed(seed)),
            throughput: throughput.throughput().map(Mutex::new),
            refuse_with: StatusCode::from_u16(throughput.refuse_with).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            started: Instant::now(),
        }
    }

    /// Runs `work` for a payer: after the gateway's latency and as its throughput allows, during which the request holds its
    /// place.
    ///
    /// # Errors
    /// As [`run`](Self::run), and 503 or 429 when more comes than can be taken.
    pub async fn run_for_payer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.enter()?;
        tokio::time::sleep(self.latency() + self.pace()?).await;
        self.work(place, work).await
    }

    /// Runs `work` on a thread that may block.
    ///
    /// # Errors
    /// 503 when all places are taken or the database is away; 500, with the cause in the log, when a query fails.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.enter()?;
        self.work(place, work).await
    }

    /// How long the next request takes at least.
    fn latency(&self) -> Duration {
        // Nothing in there panics.
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        self.latency + self.latency_spread.mul_f64(chance.f64())
    }

    /// How long a request that comes now takes by the gateway's throughput.
    fn pace(&self) -> Result<Duration, Problem> {
        let Some(throughput) = &self.throughput else { return Ok(Duration::ZERO) };
        // Nothing in there panics.
        let mut throughput = throughput.lock().unwrap_or_else(PoisonError::into_inner);
        match throughput.admit(self.started.elapsed().as_secs_f64()) {
            Admission::DoneAfterUs(us) => Ok(Duration::from_micros(us)),
            Admission::Refused { retry_after_s } => {
                let detail = "more requests come than the gateway can take: send the same request again";
                let refused = Problem::new(self.refuse_with, "too-much-to-do", "Too much to do", detail);
                Err(refused.retry_after(retry_after_s))
            }
        }
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Problem::unavailable("the gateway is working on as many requests as it can: come again", RETRY_AFTER_S)
        })
    }

    async fn work<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        work: impl FnOnce(&Database) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let database = self.database.clone();
        // The place goes along: a client that hangs up ends this future, but not the work.
        let working = web::block(move || {
            let result = work(&database);
            drop(place);
            result
        });
        match working.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_) => {
                tracing::error!("a thread that worked on a request panicked");
                Err(Problem::internal())
            }
        }
    }
}

fn explain(error: &Error) -> Problem {
    match error {
        Error::Unavailable(_) | Error::Conflict => {
            tracing::warn!(%error, "the book is not available");
            Problem::unavailable("the gateway cannot reach its book: come again", RETRY_AFTER_S)
        }
        Error::Query(_) => {
            tracing::error!(error = error as &dyn std::error::Error, "a query failed");
            Problem::internal()
        }
    }
}
