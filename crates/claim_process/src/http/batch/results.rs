//! The answer to a batch: a line of JSON for each claim, in the order of the claims, and a summary. A batch that breaks off
//! has a line with the problem instead of the summary.

use super::Purpose;
use super::reading::{Fate, RESULTS_UNREAD, Read, broke_off};
use super::unread::{NotKept, Unread};
use crate::db::claims::StoredClaim;
use crate::db::submit::Submitted;
use crate::domain::form::Finding;
use crate::domain::rules::likely_duplicate;
use crate::ingest::NotStored;
use crate::intake::batch::{Refusal, StandsIn};
use serde::Serialize;
use serde_json::json;
use service_runtime::problem::Problem;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// What became of a claim.
#[derive(Serialize)]
struct ResultLine {
    /// Its place in the batch, from 0.
    index: u64,
    #[serde(flatten)]
    stands_in: Option<StandsIn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_line: Option<u64>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Finding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Accepted,
    /// Stored by an earlier request with the same `Idempotency-Key`.
    Duplicate,
    Rejected,
    /// Would be accepted.
    Valid,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Summary {
    claims: u64,
    accepted: u64,
    rejected: u64,
    duplicates: u64,
    #[serde(skip)]
    valid: u64,
}

/// What writing results needs.
pub(super) struct Results {
    pub purpose: Purpose,
    /// Whether the batch came with a key.
    pub keyed: bool,
    pub unread: Unread,
    pub patience: Duration,
    pub runtime: Handle,
    pub request_id: Option<String>,
}

impl Results {
    /// Writes what comes, to the end. Blocks. When it returns, nothing more is taken from the batch.
    pub fn run(self, mut read: mpsc::Receiver<Read>) {
        let mut summary = Summary::default();
        // Without an end, reading panicked.
        let mut end = Err(Problem::internal());
        while let Some(read) = read.blocking_recv() {
            let written = match read {
                Read::End(ended) => {
                    end = ended;
                    break;
                }
                Read::Claim { index, stands_in, file_line, fate } => {
                    self.line(index, stands_in, fate).map(|line| ResultLine { file_line, ..line })
                }
            };
            let written = written.and_then(|line| {
                summary.count(line.status);
                self.push(&line).map_err(|why| {
                    tracing::warn!(%why, "a batch breaks off");
                    match why {
                        NotKept::ReaderStalls => broke_off(RESULTS_UNREAD, self.purpose, self.keyed),
                        NotKept::ReaderGone | NotKept::File(_) => broke_off("", self.purpose, self.keyed),
                    }
                })
            });
            if let Err(problem) = written {
                end = Err(problem);
                break;
            }
        }
        // From here on nothing is read, whatever the sender still sends.
        drop(read);
        tracing::info!(?summary, whole = end.is_ok(), "a batch was taken");
        metrics::counter!("claims_accepted_total").increment(summary.accepted);
        metrics::counter!("claims_refused_total").increment(summary.rejected);
        self.finish(summary, end);
    }

    fn finish(&self, summary: Summary, end: Result<(), Problem>) {
        let last = match &end {
            Ok(()) if self.purpose == Purpose::Validate => {
                let Summary { claims, rejected, valid, .. } = summary;
                json!({"summary": {"claims": claims, "valid": valid, "rejected": rejected}})
            }
            Ok(()) => json!({"summary": summary}),
            // A problem before the first line is the whole answer.
            Err(_) if summary.claims == 0 => return self.unread.end(end),
            Err(problem) => json!({"problem": problem.to_json(self.request_id.clone())}),
        };
        self.unread.push_last(&line_of(&last));
        self.unread.end(Ok(()));
    }

    fn push(&self, line: &ResultLine) -> Result<(), NotKept> {
        self.unread.push(&line_of(line), self.patience)
    }

    fn line(&self, index: u64, stands_in: Option<StandsIn>, fate: Fate) -> Result<ResultLine, Problem> {
        let mut line = ResultLine {
            index,
            stands_in,
            file_line: None,
            status: Status::Rejected,
            id: None,
            errors: vec![],
            warnings: vec![],
        };
        match fate {
            Fate::Refused { errors, warnings } => (line.errors, line.warnings) = (errors, warnings),
            Fate::Valid { warnings } => (line.status, line.warnings) = (Status::Valid, warnings),
            Fate::Known(submitted) => line.settle(submitted),
            Fate::Submitted { answer, place: _place } => match self.runtime.block_on(answer.get()) {
                Ok(submitted) => line.settle(submitted),
                Err(NotStored::Refused) => line.errors = vec![Refusal::NotStored.finding()],
                Err(NotStored::QueueFull | NotStored::Unavailable) => {
                    return Err(broke_off("", self.purpose, self.keyed));
                }
            },
        }
        // In an array a pointer begins at the array.
        if line.stands_in.is_none() {
            for finding in line.errors.iter_mut().chain(&mut line.warnings) {
                finding.pointer = finding.pointer.as_ref().map(|pointer| format!("/{index}{pointer}"));
            }
        }
        Ok(line)
    }
}

fn line_of(result: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(result).expect("results are plain data");
    line.push(b'\n');
    line
}

impl ResultLine {
    fn settle(&mut self, submitted: Submitted) {
        match submitted {
            Submitted::Accepted(claim) => self.stored(Status::Accepted, *claim),
            Submitted::Replayed(claim) => self.stored(Status::Duplicate, *claim),
            Submitted::KeyReused => self.errors = vec![Refusal::KeyReused.finding()],
            Submitted::ExternalIdTaken { claim_id } => self.errors = vec![Refusal::ExternalIdTaken(claim_id).finding()],
            Submitted::LikelyDuplicate { claim_id } => self.errors = vec![likely_duplicate(&claim_id)],
        }
    }

    fn stored(&mut self, status: Status, claim: StoredClaim) {
        self.status = status;
        self.warnings = claim.warnings();
        self.id = Some(claim.row.claim_id);
    }
}

impl Summary {
    fn count(&mut self, status: Status) {
        self.claims += 1;
        *match status {
            Status::Accepted => &mut self.accepted,
            Status::Duplicate => &mut self.duplicates,
            Status::Rejected => &mut self.rejected,
            Status::Valid => &mut self.valid,
        } += 1;
    }
}
