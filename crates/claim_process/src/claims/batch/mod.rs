//! Batches: many claims, each accepted or refused alone.
//!
//! Two threads work on a batch, with a bounded queue between them. One reads claims, checks each and hands it to the writer
//! ([`reader`]). The other writes the results in the order of the claims ([`results`]) into a spool from which the sender
//! takes them ([`spool`]). They are threads and no tasks: both mostly block, and must not keep those that read the database.

mod claim_result;
pub mod context;
pub mod error;
mod reader;
mod replay_guard;
mod result_line;
pub mod results;
pub mod spool;

use super::submission::Origin;
use crate::intake::batch_input::{BatchFormat, Grouping};
use context::{BatchContext, BatchResources, Mode};
use reader::BatchReader;
use results::{RenderProblem, ResultsWriter};
use spool::ResultSpool;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many claims of a batch may be read whose results are not written yet: what is found wrong with each is in memory.
const RESULTS_AHEAD: usize = 1_024;

/// A batch as it was sent.
#[derive(Debug)]
pub struct Batch<B> {
    /// Its body, unpacked or packed with gzip. Reading it may block.
    pub body: B,
    /// `None`: the first character tells.
    pub format: Option<BatchFormat>,
    /// Which rows of a CSV are one claim.
    pub grouping: Grouping,
    /// What becomes of its claims.
    pub mode: Mode,
    /// The sender's `Idempotency-Key`.
    pub key: Option<String>,
    /// The request it came with.
    pub origin: Origin,
}

/// Takes batches, a bounded number at once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Batches {
    permits: Arc<Semaphore>,
    resources: Arc<BatchResources>,
}

impl Batches {
    /// Takes up to `max_concurrent` batches at once.
    pub fn new(max_concurrent: usize, resources: BatchResources) -> Self {
        Self { permits: Arc::new(Semaphore::new(max_concurrent)), resources: Arc::new(resources) }
    }

    /// A permit for one batch; `None` where as many as may be are being taken.
    pub fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Starts to take a batch, and returns where its results come out. The permit is free once they are read.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(
        &self,
        permit: OwnedSemaphorePermit,
        batch: Batch<impl Read + Send + 'static>,
        render_problem: RenderProblem,
    ) -> io::Result<ResultSpool> {
        let Batch { body, format, grouping, mode, key, origin } = batch;
        let resources = Arc::clone(&self.resources);
        let spool = ResultSpool::new(resources.max_unread_bytes);
        let (sender, receiver) = mpsc::channel(resources.max_waiting_claims.min(RESULTS_AHEAD));
        let context = Arc::new(BatchContext { resources, mode, key, origin });
        let reader = BatchReader::new(Arc::clone(&context), sender);
        let results = ResultsWriter { context, spool: spool.clone(), render_problem };
        // Both end by themselves, and each when the other does.
        spawn("batch reader", move || reader.run(body, format, grouping))?;
        spawn("batch results", move || {
            let _permit = permit;
            results.run(receiver);
        })?;
        Ok(spool)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
