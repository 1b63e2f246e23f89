//! The results of a batch: a line of JSON for each claim, in the order of the claims, and a summary. A batch that breaks off
//! has a line with the problem instead of the summary.

use super::claim_result::{BatchEntry, ClaimResult};
use super::context::{BatchContext, Mode};
use super::error::BatchError;
use super::result_line::{ResultLine, Status, Summary};
use super::spool::{NotKept, ResultSpool};
use crate::claims::preflight::{Preflight, preflight};
use crate::claims::writer::{NotStored, PendingResult};
use crate::intake::batch_input::Refusal;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many results are looked at together, where so many wait.
const MOST_AT_ONCE: usize = 200;

/// Renders the problem with which a batch breaks off, for its last line.
pub type RenderProblem = Box<dyn Fn(BatchError) -> Value + Send>;

/// Writes the results of one batch.
pub(super) struct ResultsWriter {
    pub context: Arc<BatchContext>,
    pub spool: ResultSpool,
    pub render_problem: RenderProblem,
}

impl ResultsWriter {
    /// Writes what comes, to the end. Blocks. When it returns, nothing more is taken from the batch.
    pub fn run(self, mut entries: mpsc::Receiver<BatchEntry>) {
        let mut summary = Summary::default();
        let (mut end, mut group) = (None, Vec::new());
        while end.is_none() && entries.blocking_recv_many(&mut group, MOST_AT_ONCE) > 0 {
            end = self.write(std::mem::take(&mut group), &mut summary);
        }
        // From here on nothing is read, whatever the sender still sends.
        drop(entries);
        // Without an end, reading panicked.
        let end = end.unwrap_or(Err(BatchError::Internal));
        tracing::info!(?summary, whole = end.is_ok(), "a batch was taken");
        metrics::counter!("claims_accepted_total").increment(summary.accepted);
        metrics::counter!("claims_refused_total").increment(summary.rejected);
        self.end(summary, end);
        // Until then the batch keeps its permit: its results take up room.
        self.spool.wait_until_taken(self.context.resources.stall_timeout);
    }

    /// Writes these, and returns how the batch ended, if it did.
    fn write(&self, mut group: Vec<BatchEntry>, summary: &mut Summary) -> Option<Result<(), BatchError>> {
        if let Err(error) = self.compare(&mut group) {
            return Some(Err(error));
        }
        for entry in group {
            let line = match entry {
                BatchEntry::End(ended) => return Some(ended),
                BatchEntry::Claim { index, location, file_line, result } => {
                    let line = ResultLine::rejected(index, location, file_line, vec![], vec![]);
                    self.finish(line, result)
                }
            };
            let written = line.and_then(|line| {
                summary.count(line.status);
                self.push(&line)
            });
            if let Err(error) = written {
                return Some(Err(error));
            }
        }
        None
    }

    /// Compares claims that are only checked with those that are stored.
    fn compare(&self, group: &mut [BatchEntry]) -> Result<(), BatchError> {
        let (mut results, mut claims) = (Vec::new(), Vec::new());
        for entry in group {
            if let BatchEntry::Claim { result, .. } = entry
                && let ClaimResult::Valid { comparison, .. } = result
            {
                claims.push(comparison.clone());
                results.push(result);
            }
        }
        if claims.is_empty() {
            return Ok(());
        }
        let compared = self.context.look_up(move |database| preflight(database, &claims))?;
        for (result, Preflight { refused, warning }) in results.into_iter().zip(compared) {
            let ClaimResult::Valid { warnings, .. } = result else { continue };
            warnings.splice(0..0, warning);
            if !refused.is_empty() {
                *result = ClaimResult::Refused { errors: refused, warnings: std::mem::take(warnings) };
            }
        }
        Ok(())
    }

    /// The line of a claim, once its result is known.
    fn finish(&self, mut line: ResultLine, result: ClaimResult) -> Result<ResultLine, BatchError> {
        match result {
            ClaimResult::Refused { errors, warnings } => (line.errors, line.warnings) = (errors, warnings),
            ClaimResult::Valid { warnings, .. } => (line.status, line.warnings) = (Status::Valid, warnings),
            ClaimResult::Known(submitted) => line.settle(submitted),
            ClaimResult::Pending(pending) => self.wait_for(&mut line, pending)?,
        }
        line.point_from_array();
        Ok(line)
    }

    fn wait_for(&self, line: &mut ResultLine, pending: PendingResult) -> Result<(), BatchError> {
        match self.context.resources.runtime.block_on(pending.get()) {
            Ok(submitted) => line.settle(submitted),
            Err(NotStored::Refused) => line.errors = vec![Refusal::NotStored.finding()],
            Err(NotStored::QueueFull | NotStored::Unavailable) => return Err(BatchError::BrokeOff),
        }
        Ok(())
    }

    fn push(&self, line: &ResultLine) -> Result<(), BatchError> {
        self.spool.push(&json_line(line), self.context.resources.stall_timeout).map_err(|why| {
            tracing::warn!(%why, "a batch breaks off");
            match why {
                NotKept::ReaderStalls => BatchError::ResultsUnread,
                NotKept::ReaderGone | NotKept::File(_) => BatchError::BrokeOff,
            }
        })
    }

    fn end(&self, summary: Summary, end: Result<(), BatchError>) {
        let last = match end {
            Ok(()) if self.context.mode == Mode::Validate => {
                let Summary { claims, rejected, valid, .. } = summary;
                json!({"summary": {"claims": claims, "valid": valid, "rejected": rejected}})
            }
            Ok(()) => json!({"summary": summary}),
            // A problem before the first line is the whole answer.
            Err(_) if summary.claims == 0 => return self.spool.end(end),
            Err(error) => json!({"problem": (self.render_problem)(error)}),
        };
        self.spool.push_last(&json_line(&last));
        self.spool.end(Ok(()));
    }
}

fn json_line(result: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(result).expect("results are plain data");
    line.push(b'\n');
    line
}
