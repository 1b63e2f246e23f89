//! A line of the results of a batch: what became of one claim, and the summary of all.

use crate::claims::submission::Submitted;
use crate::db::claims::StoredClaim;
use crate::domain::finding::Finding;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::intake::batch_input::{Refusal, SourceLocation};
use serde::Serialize;

/// What became of a claim.
#[derive(Serialize)]
pub(super) struct ResultLine {
    /// Its place in the batch, from 0.
    pub index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_line: Option<u64>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Accepted,
    /// Stored by an earlier request with the same `Idempotency-Key`.
    Duplicate,
    Rejected,
    /// Would be accepted.
    Valid,
}

/// How many claims became what.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Summary {
    pub claims: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub duplicates: u64,
    #[serde(skip)]
    pub valid: u64,
}

impl ResultLine {
    /// The line of a claim that is refused.
    pub fn rejected(
        index: u64,
        location: Option<SourceLocation>,
        file_line: Option<u64>,
        errors: Vec<Finding>,
        warnings: Vec<Finding>,
    ) -> Self {
        let (rows, input_line) = match location {
            Some(SourceLocation::Rows(first, last)) => (Some((first, last)), None),
            Some(SourceLocation::InputLine(line)) => (None, Some(line)),
            None => (None, None),
        };
        Self { index, rows, input_line, file_line, status: Status::Rejected, id: None, errors, warnings }
    }

    /// Notes what became of the claim when it was submitted.
    pub fn settle(&mut self, submitted: Submitted) {
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
        self.id = Some(claim.row.claim_id.to_string());
    }

    /// Makes the pointers of an array begin at the array. In other formats the location is the claim's place.
    pub fn point_from_array(&mut self) {
        if self.rows.is_none() && self.input_line.is_none() {
            for finding in self.errors.iter_mut().chain(&mut self.warnings) {
                finding.pointer = finding.pointer.as_ref().map(|pointer| format!("/{}{pointer}", self.index));
            }
        }
    }
}

impl Summary {
    pub fn count(&mut self, status: Status) {
        self.claims += 1;
        *match status {
            Status::Accepted => &mut self.accepted,
            Status::Duplicate => &mut self.duplicates,
            Status::Rejected => &mut self.rejected,
            Status::Valid => &mut self.valid,
        } += 1;
    }
}
