//! The database, asked about claims of a batch: each question waits for its turn, so that there is room for other requests.

use super::intent::Intent;
use actix_web::ResponseError;
use actix_web::http::StatusCode;
use dual_db::{Database, Result};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem::Problem;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// How soon to ask again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The way to the database for one batch.
#[derive(Debug, Clone)]
pub(super) struct Lookups {
    pub database: DatabaseGate,
    /// A place for each question of any batch.
    pub turns: Arc<Semaphore>,
    /// How long to wait for a turn, or for the database.
    pub patience: Duration,
    pub intent: Intent,
    pub runtime: Handle,
}

impl Lookups {
    /// Asks, and again where others fill the way to the database. Blocks.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Database) -> Result<T> + Clone + Send + 'static,
    ) -> std::result::Result<T, Problem> {
        let until = Instant::now() + self.patience;
        loop {
            let asked = self.runtime.block_on(async {
                let _turn = tokio::time::timeout(self.patience, self.turns.acquire()).await.ok()?.ok()?;
                Some(self.database.run(question.clone()).await)
            });
            match asked {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(problem)) if problem.status_code() != StatusCode::SERVICE_UNAVAILABLE => return Err(problem),
                Some(Err(_)) if Instant::now() < until => std::thread::sleep(ASK_AGAIN),
                Some(Err(_)) | None => return Err(self.intent.broke_off("")),
            }
        }
    }
}
