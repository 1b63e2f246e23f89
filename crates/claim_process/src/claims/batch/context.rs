//! What the parts of a batch share, and how they wait for the database and for the writer: each for a permit, so that there
//! is room for other requests.

use super::error::BatchError;
use crate::claims::submission::{Origin, Submission};
use crate::claims::tally::Tally;
use crate::claims::writer::{IngestQueue, PendingResult};
use crate::domain::rules::rule_set::RuleSet;
use crate::intake::batch_input::BatchLimits;
use dual_db::{Database, Result};
use service_runtime::database_gate::{DatabaseGate, GateError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// How soon to try again where others fill the way to the database.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(500);

/// What becomes of the claims of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are stored.
    Store,
    /// They are only checked.
    Validate,
}

/// What all batches share.
#[derive(Debug)]
pub struct BatchResources {
    /// The rules as this deployment has them.
    pub rules: Arc<RuleSet>,
    /// The way to the writer.
    pub queue: IngestQueue,
    /// The way to the database.
    pub database: DatabaseGate,
    /// What became of claims.
    pub tally: Tally,
    /// That of the whole process: it goes on when the server's workers have ended.
    pub runtime: Handle,
    /// A permit for each claim of any batch that waits to be stored: the queue has room for single claims beside them.
    pub claim_permits: Arc<Semaphore>,
    /// How many of these there are.
    pub max_waiting_claims: usize,
    /// A permit for each look-up of any batch: the way to the database has room for others beside them.
    pub look_up_permits: Semaphore,
    /// How much of a batch is read.
    pub limits: BatchLimits,
    /// The most claims of a batch.
    pub max_claims: u64,
    /// How many bytes of a batch's results may wait in a file.
    pub max_unread_bytes: u64,
    /// How long to wait for a permit, for the writer and for the database.
    pub answer_timeout: Duration,
    /// How long to wait for the sender to read results.
    pub stall_timeout: Duration,
}

/// What the parts of one batch share.
#[derive(Debug)]
pub struct BatchContext {
    /// What it shares with other batches.
    pub resources: Arc<BatchResources>,
    /// What becomes of its claims.
    pub mode: Mode,
    /// The sender's `Idempotency-Key`, from which each claim has one of its own.
    pub key: Option<String>,
    /// The request it came with.
    pub origin: Origin,
}

impl BatchContext {
    /// Looks something up, and again where others fill the way to the database. Blocks.
    pub(super) fn look_up<T: Send + 'static>(
        &self,
        query: impl Fn(&Database) -> Result<T> + Clone + Send + 'static,
    ) -> std::result::Result<T, BatchError> {
        let BatchResources { runtime, look_up_permits, database, answer_timeout, .. } = &*self.resources;
        let until = Instant::now() + *answer_timeout;
        loop {
            let found = runtime.block_on(async {
                let _permit = tokio::time::timeout(*answer_timeout, look_up_permits.acquire()).await.ok()?.ok()?;
                Some(database.try_run(query.clone()).await)
            });
            match found {
                Some(Ok(value)) => return Ok(value),
                Some(Err(GateError::Database(error))) if error.is_refusal() => return Err(BatchError::Internal),
                Some(Err(_)) if Instant::now() < until => std::thread::sleep(LOOK_UP_PAUSE),
                Some(Err(_)) | None => return Err(BatchError::BrokeOff),
            }
        }
    }

    /// Hands claims to the writer as soon as there is room for them. Blocks. Also where not all could be handed over, the results
    /// of the first are pending.
    pub(super) fn hand_over(
        &self,
        submissions: Vec<Submission>,
    ) -> (Vec<PendingResult>, std::result::Result<(), BatchError>) {
        let mut pending = Vec::with_capacity(submissions.len());
        let handed_over = self.resources.runtime.block_on(self.hand_over_each(submissions, &mut pending));
        (pending, handed_over.ok_or(BatchError::BrokeOff))
    }

    async fn hand_over_each(&self, submissions: Vec<Submission>, pending: &mut Vec<PendingResult>) -> Option<()> {
        let BatchResources { claim_permits, queue, answer_timeout, .. } = &*self.resources;
        for submission in submissions {
            let permit = match Arc::clone(claim_permits).try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    let permit = Arc::clone(claim_permits).acquire_owned();
                    tokio::time::timeout(*answer_timeout, permit).await.ok()?.ok()?
                }
            };
            pending.push(queue.submit_one_of_many(submission, permit).await.ok()?);
        }
        Some(())
    }
}
