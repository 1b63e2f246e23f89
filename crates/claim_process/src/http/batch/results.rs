//! The answer to a batch: a line of JSON for each claim, in the order of the claims, and a summary. A batch that breaks off
//! has a line with the problem instead of the summary.

use super::intent::{Intent, Purpose, RESULTS_UNREAD};
use super::lookups::Lookups;
use super::reading::{Fate, Read};
use super::unread::{NotKept, Unread};
use crate::db::claims::StoredClaim;
use crate::db::submit::Submitted;
use crate::domain::finding::Finding;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::http::foreseen::{Foreseen, foresee};
use crate::ingest::NotStored;
use crate::intake::batch::{Refusal, StandsIn};
use serde::Serialize;
use serde_json::json;
use service_runtime::problem::Problem;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How many results are looked at together, where so many wait.
const MOST_AT_ONCE: usize = 200;

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
    pub intent: Intent,
    pub lookups: Lookups,
    pub unread: Unread,
    pub patience: Duration,
    pub runtime: Handle,
    pub request_id: Option<String>,
}

impl Results {
    /// Writes what comes, to the end. Blocks. When it returns, nothing more is taken from the batch.
    pub fn run(self, mut read: mpsc::Receiver<Read>) {
        let mut summary = Summary::default();
        let (mut end, mut group) = (None, Vec::new());
        while end.is_none() && read.blocking_recv_many(&mut group, MOST_AT_ONCE) > 0 {
            end = self.write(std::mem::take(&mut group), &mut summary);
        }
        // From here on nothing is read, whatever the sender still sends.
        drop(read);
        // Without an end, reading panicked.
        let end = end.unwrap_or_else(|| Err(Problem::internal()));
        tracing::info!(?summary, whole = end.is_ok(), "a batch was taken");
        metrics::counter!("claims_accepted_total").increment(summary.accepted);
        metrics::counter!("claims_refused_total").increment(summary.rejected);
        self.finish(summary, end);
    }

    /// Writes these, and returns how the batch ended, if it did.
    fn write(&self, mut group: Vec<Read>, summary: &mut Summary) -> Option<Result<(), Problem>> {
        if let Err(problem) = self.foresee(&mut group) {
            return Some(Err(problem));
        }
        for read in group {
            let (index, stands_in, file_line, fate) = match read {
                Read::End(ended) => return Some(ended),
                Read::Claim { index, stands_in, file_line, fate } => (index, stands_in, file_line, fate),
            };
            let written = self.line(index, stands_in, fate).and_then(|line| {
                summary.count(line.status);
                self.push(&ResultLine { file_line, ..line })
            });
            if let Err(problem) = written {
                return Some(Err(problem));
            }
        }
        None
    }

    /// Compares claims that are only checked with those that are stored.
    fn foresee(&self, group: &mut [Read]) -> Result<(), Problem> {
        let (mut fates, mut claims) = (Vec::new(), Vec::new());
        for read in group {
            if let Read::Claim { fate, .. } = read
                && let Fate::Valid { checked, .. } = fate
            {
                claims.push(checked.clone());
                fates.push(fate);
            }
        }
        if claims.is_empty() {
            return Ok(());
        }
        let foreseen = self.lookups.ask(move |database| foresee(database, &claims))?;
        for (fate, Foreseen { refused, warning }) in fates.into_iter().zip(foreseen) {
            let Fate::Valid { warnings, .. } = fate else { continue };
            warnings.splice(0..0, warning);
            if !refused.is_empty() {
                *fate = Fate::Refused { errors: refused, warnings: std::mem::take(warnings) };
            }
        }
        Ok(())
    }

    fn finish(&self, summary: Summary, end: Result<(), Problem>) {
        self.end(summary, end);
        // Until then the batch keeps its place: its results take up room.
        self.unread.wait_until_taken(self.patience);
    }

    fn end(&self, summary: Summary, end: Result<(), Problem>) {
        let last = match &end {
            Ok(()) if self.intent.purpose == Purpose::Validate => {
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

    fn push(&self, line: &ResultLine) -> Result<(), Problem> {
        self.unread.push(&line_of(line), self.patience).map_err(|why| {
            tracing::warn!(%why, "a batch breaks off");
            self.intent.broke_off(match why {
                NotKept::ReaderStalls => RESULTS_UNREAD,
                NotKept::ReaderGone | NotKept::File(_) => "",
            })
        })
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
            Fate::Valid { warnings, .. } => (line.status, line.warnings) = (Status::Valid, warnings),
            Fate::Known(submitted) => line.settle(submitted),
            Fate::Submitted(answer) => match self.runtime.block_on(answer.get()) {
                Ok(submitted) => line.settle(submitted),
                Err(NotStored::Refused) => line.errors = vec![Refusal::NotStored.finding()],
                Err(NotStored::QueueFull | NotStored::Unavailable) => {
                    return Err(self.intent.broke_off(""));
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
