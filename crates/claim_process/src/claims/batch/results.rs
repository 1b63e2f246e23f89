//! The results of a batch: a line of JSON for each claim, in the order of the claims, and a summary. A batch that breaks off
//! has a line with the problem instead of the summary.

use super::claim_result::{BatchEntry, ClaimResult, Message};
use super::context::{BatchContext, Mode};
use super::error::BatchError;
use super::result_line::{ResultLine, Status, Summary};
use super::spool::{NotKept, ResultSpool};
use crate::claims::preflight::{Preflight, preflight};
use crate::claims::writer::NotStored;
use crate::intake::batch_input::Refusal;
use futures_util::future::poll_immediate;
use serde::Serialize;
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;

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
    pub fn run(self, mut messages: mpsc::Receiver<Message>) {
        let mut summary = Summary::default();
        let mut end = None;
        while end.is_none()
            && let Some(message) = messages.blocking_recv()
        {
            end = match message {
                Message::Claims(claims) => self.write(claims, &mut summary).err().map(Err),
                Message::End(ended) => Some(ended),
            };
        }
        // From here on nothing is read, whatever the sender still sends.
        drop(messages);
        // Without an end, reading panicked.
        let end = end.unwrap_or(Err(BatchError::Internal));
        tracing::info!(?summary, whole = end.is_ok(), "a batch was taken");
        self.end(summary, end);
        // Until then the batch keeps its permit: its results take up room.
        self.spool.wait_until_taken(self.context.resources.stall_timeout);
    }

    /// Writes the results of these claims.
    fn write(&self, mut claims: Vec<BatchEntry>, summary: &mut Summary) -> Result<(), BatchError> {
        self.compare(&mut claims)?;
        let before = *summary;
        let written = self.context.resources.runtime.block_on(self.write_each(claims, summary));
        let tally = &self.context.resources.tally;
        tally.accepted(summary.accepted - before.accepted);
        tally.refused(summary.rejected - before.rejected);
        tally.replayed(summary.duplicates - before.duplicates);
        written
    }

    async fn write_each(&self, claims: Vec<BatchEntry>, summary: &mut Summary) -> Result<(), BatchError> {
        let mut lines = Vec::new();
        for BatchEntry { index, location, file_line, result } in claims {
            let mut line = ResultLine::rejected(index, location, file_line, vec![], vec![]);
            if let Err(error) = self.finish(&mut line, result, &mut lines).await {
                // Those before it are known.
                return self.push(&mut lines).and(Err(error));
            }
            summary.count(line.status);
            add_json_line(&mut lines, &line);
        }
        self.push(&mut lines)
    }

    /// Compares claims that are only checked with those that are stored.
    fn compare(&self, claims_read: &mut [BatchEntry]) -> Result<(), BatchError> {
        let (mut results, mut claims) = (Vec::new(), Vec::new());
        for BatchEntry { result, .. } in claims_read {
            if let ClaimResult::Valid { comparison, .. } = result {
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

    /// Completes the line of a claim, once its result is known. The lines before it do not wait for that.
    async fn finish(&self, line: &mut ResultLine, result: ClaimResult, lines: &mut Vec<u8>) -> Result<(), BatchError> {
        match result {
            ClaimResult::Refused { errors, warnings } => (line.errors, line.warnings) = (errors, warnings),
            ClaimResult::Valid { warnings, .. } => (line.status, line.warnings) = (Status::Valid, warnings),
            ClaimResult::Known(submitted) => line.settle(submitted),
            ClaimResult::Pending(pending) => {
                let mut stored = pin!(pending.get());
                let stored = match poll_immediate(&mut stored).await {
                    Some(stored) => stored,
                    None => {
                        self.push(lines)?;
                        stored.await
                    }
                };
                match stored {
                    Ok(submitted) => line.settle(submitted),
                    Err(NotStored::Refused) => line.errors = vec![Refusal::NotStored.finding()],
                    Err(NotStored::QueueFull | NotStored::Unavailable) => return Err(BatchError::BrokeOff),
                }
            }
            ClaimResult::Unsent => return Err(BatchError::Internal),
        }
        line.point_from_array();
        Ok(())
    }

    /// Passes lines on. Blocks while there is no room for them.
    fn push(&self, lines: &mut Vec<u8>) -> Result<(), BatchError> {
        if lines.is_empty() {
            return Ok(());
        }
        let pushed = self.spool.push(lines, self.context.resources.stall_timeout);
        lines.clear();
        pushed.map_err(|why| {
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
        let mut line = Vec::new();
        add_json_line(&mut line, &last);
        self.spool.push_last(&line);
        self.spool.end(Ok(()));
    }
}

fn add_json_line(lines: &mut Vec<u8>, result: &impl Serialize) {
    serde_json::to_writer(&mut *lines, result).expect("results are plain data");
    lines.push(b'\n');
}
