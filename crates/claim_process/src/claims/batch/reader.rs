//! Reads the claims of a batch one after another, checks each, and hands those that are good to the writer.

use super::claim_result::{BatchEntry, ClaimResult};
use super::context::{BatchContext, Mode};
use super::error::BatchError;
use super::replay_guard::ReplayGuard;
use crate::claims::idempotency::answered_before;
use crate::claims::preflight::Comparison;
use crate::claims::submission::IdempotencyKey;
use crate::claims::submit::{Refused, prepare};
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::rule_set::Validation;
use crate::intake::batch_input::{BatchClaim, BatchFormat, Ended, Grouping, read_batch};
use std::io::Read;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Reads one batch.
pub(super) struct BatchReader {
    context: Arc<BatchContext>,
    replay_guard: ReplayGuard,
    /// Its capacity bounds the claims whose results are not written yet.
    entries: mpsc::Sender<BatchEntry>,
    /// How many were read so far.
    claims: u64,
}

/// Why a batch is not read on.
enum Stopped {
    Error(BatchError),
    /// The writer of results has ended, and has reported why.
    ResultsEnded,
}

impl From<BatchError> for Stopped {
    fn from(error: BatchError) -> Self {
        Self::Error(error)
    }
}

impl BatchReader {
    pub fn new(context: Arc<BatchContext>, entries: mpsc::Sender<BatchEntry>) -> Self {
        Self { replay_guard: ReplayGuard::new(Arc::clone(&context)), context, entries, claims: 0 }
    }

    /// Reads to the end. Blocks.
    pub fn run(mut self, body: impl Read, format: Option<BatchFormat>, grouping: Grouping) {
        let limits = self.context.resources.limits;
        let end = match read_batch(body, format, grouping, limits, &mut |claim| self.take(claim)) {
            Ok(()) => Ok(()),
            Err(Ended::Stopped(Stopped::ResultsEnded)) => return,
            Err(Ended::Stopped(Stopped::Error(error))) => Err(error),
            Err(Ended::Malformed(malformed)) => Err(BatchError::Malformed(malformed)),
            Err(Ended::Input(error)) => Err(BatchError::Input(error)),
        };
        // The writer of results may have ended by now.
        let _ = self.entries.blocking_send(BatchEntry::End(end));
    }

    fn take(&mut self, claim: BatchClaim) -> Result<(), Stopped> {
        let (index, max_claims) = (self.claims, self.context.resources.max_claims);
        if index == max_claims {
            return Err(BatchError::TooManyClaims { max_claims }.into());
        }
        self.claims += 1;
        let BatchClaim { location, file_line, form, hash } = claim;
        self.replay_guard.pass(index, &hash)?;
        let result = match (form, self.context.mode) {
            (Err(refusal), _) => ClaimResult::refused(vec![refusal.finding()]),
            (Ok(form), Mode::Store) => self.submit(index, &form, hash)?,
            (Ok(form), Mode::Validate) => self.validate(&form),
        };
        let entry = BatchEntry::Claim { index, location, file_line, result };
        self.entries.blocking_send(entry).map_err(|_| Stopped::ResultsEnded)
    }

    fn submit(&self, index: u64, raw: &RawClaim, hash: String) -> Result<ClaimResult, BatchError> {
        let key = self.context.key.as_ref().map(|key| IdempotencyKey::of_batch(key, index, hash));
        let Refused { findings, key } = match prepare(&self.context.resources.rules, raw, key, &self.context.origin) {
            Ok(submission) => return self.context.hand_over(submission).map(ClaimResult::Pending),
            Err(refused) => refused,
        };
        let before = match key {
            Some(key) => self.context.look_up(move |database| answered_before(database, &key))?,
            None => None,
        };
        Ok(before.map_or_else(|| ClaimResult::refused(findings), ClaimResult::Known))
    }

    fn validate(&self, raw: &RawClaim) -> ClaimResult {
        let rules = &self.context.resources.rules;
        let Validation { claim, refused, warnings } = rules.validate(raw, jiff::Timestamp::now());
        match claim {
            Some(claim) => ClaimResult::Valid { comparison: Comparison::new(rules, &claim), warnings },
            None => ClaimResult::Refused { errors: refused, warnings },
        }
    }
}
