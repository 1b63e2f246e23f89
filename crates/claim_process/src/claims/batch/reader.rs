//! Reads the claims of a batch one after another, checks each, and hands those that are good to the writer: many at once
//! where many are there to be read, and before it waits for more of the body.

use super::claim_result::{BatchEntry, ClaimResult, Message};
use super::context::{BatchContext, Mode};
use super::error::BatchError;
use super::replay_guard::ReplayGuard;
use crate::claims::idempotency::answered_before;
use crate::claims::preflight::Comparison;
use crate::claims::submission::{IdempotencyKey, Submission};
use crate::claims::submit::{Refused, prepare};
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::rule_set::Validation;
use crate::intake::batch_input::{BatchClaim, BatchFormat, BatchLimits, Ended, Grouping, read_batch};
use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The most claims that are read before they are handed over.
const MOST_CLAIMS: usize = 128;

/// The most lines and findings of all these claims, which are what they take up in memory.
const MOST_WEIGHT: usize = 4_096;

/// The body of a batch. Reading it may block.
pub trait BatchBody: Read {
    /// Whether reading would wait for the sender.
    fn would_wait(&mut self) -> bool;
}

/// Reads one batch.
pub(super) struct BatchReader {
    context: Arc<BatchContext>,
    replay_guard: ReplayGuard,
    /// Its capacity bounds the claims whose results are not written yet.
    messages: mpsc::Sender<Message>,
    /// How many were read so far.
    claims: u64,
    /// What was read and is not handed over yet.
    group: Vec<(BatchEntry, Option<Submission>)>,
    weight: usize,
}

/// Why a batch is not read on.
#[derive(Debug)]
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
    pub fn new(context: Arc<BatchContext>, messages: mpsc::Sender<Message>) -> Self {
        let replay_guard = ReplayGuard::new(Arc::clone(&context));
        Self { context, replay_guard, messages, claims: 0, group: Vec::new(), weight: 0 }
    }

    /// Reads to the end. Blocks.
    pub fn run(self, body: impl BatchBody, format: Option<BatchFormat>, grouping: Grouping) {
        // Only by a key can the same batch come again.
        let hashes = self.context.key.is_some() && self.context.mode == Mode::Store;
        let limits = BatchLimits { hashes, ..self.context.resources.limits };
        let reader = RefCell::new(self);
        let body = HandingOver { body, reader: &reader };
        let ended = read_batch(body, format, grouping, limits, &mut |claim| reader.borrow_mut().take(claim));
        let mut reader = reader.into_inner();
        let end = match ended {
            Ok(()) => Ok(()),
            Err(Ended::Stopped(stopped)) => Err(stopped),
            Err(Ended::Malformed(malformed)) => Err(BatchError::Malformed(malformed).into()),
            Err(Ended::Input(error)) => Err(stopped_by(error)),
        };
        // What was read before the end is stored, whatever the end is.
        let end = match (reader.hand_over(), end) {
            (Err(Stopped::ResultsEnded), _) | (_, Err(Stopped::ResultsEnded)) => return,
            (_, Err(Stopped::Error(error))) | (Err(Stopped::Error(error)), Ok(())) => Err(error),
            (Ok(()), Ok(())) => Ok(()),
        };
        // The writer of results may have ended by now.
        let _ = reader.messages.blocking_send(Message::End(end));
    }

    fn take(&mut self, claim: BatchClaim) -> Result<(), Stopped> {
        let (index, max_claims) = (self.claims, self.context.resources.max_claims);
        if index == max_claims {
            return Err(BatchError::TooManyClaims { max_claims }.into());
        }
        self.claims += 1;
        let BatchClaim { location, file_line, raw_claim, hash } = claim;
        if let Some(hash) = &hash {
            self.replay_guard.pass(index, hash)?;
        }
        let (result, submission) = match (raw_claim, self.context.mode) {
            (Err(refusal), _) => (ClaimResult::refused(vec![refusal.finding()]), None),
            (Ok(raw_claim), Mode::Store) => self.check(index, &raw_claim, hash)?,
            (Ok(raw_claim), Mode::Validate) => (self.validate(&raw_claim), None),
        };
        self.weight += result.findings() + submission.as_ref().map_or(0, |submission| submission.claim.lines.len());
        self.group.push((BatchEntry { index, location, file_line, result }, submission));
        let most = self.context.resources.max_waiting_claims.min(MOST_CLAIMS);
        if self.group.len() >= most || self.weight >= MOST_WEIGHT { self.hand_over() } else { Ok(()) }
    }

    /// Checks a claim that is to be stored.
    fn check(
        &self,
        index: u64,
        raw: &RawClaim,
        hash: Option<String>,
    ) -> Result<(ClaimResult, Option<Submission>), BatchError> {
        let key = self.context.key.as_ref().zip(hash);
        let key = key.map(|(key, hash)| IdempotencyKey::of_batch(key, index, hash));
        let Refused { findings, key } = match prepare(&self.context.resources.rules, raw, key, &self.context.origin) {
            Ok(submission) => return Ok((ClaimResult::Unsent, Some(submission))),
            Err(refused) => refused,
        };
        let before = match key {
            Some(key) => self.context.look_up(move |database| answered_before(database, &key))?,
            None => None,
        };
        Ok((before.map_or_else(|| ClaimResult::refused(findings), ClaimResult::Known), None))
    }

    fn validate(&self, raw: &RawClaim) -> ClaimResult {
        let rules = &self.context.resources.rules;
        let Validation { claim, refused, warnings } = rules.validate(raw, jiff::Timestamp::now());
        match claim {
            Some(claim) => ClaimResult::Valid { comparison: Comparison::new(rules, &claim), warnings },
            None => ClaimResult::Refused { errors: refused, warnings },
        }
    }

    /// Hands what was read to the writer, and to the writer of results.
    fn hand_over(&mut self) -> Result<(), Stopped> {
        if self.group.is_empty() {
            return Ok(());
        }
        self.weight = 0;
        let (mut entries, submissions): (Vec<_>, Vec<_>) = std::mem::take(&mut self.group).into_iter().unzip();
        let (pending, handed_over) = self.context.hand_over(submissions.into_iter().flatten().collect());
        let mut pending = pending.into_iter();
        let mut complete = entries.len();
        for (place, entry) in entries.iter_mut().enumerate() {
            if let ClaimResult::Unsent = entry.result {
                let Some(result) = pending.next() else {
                    complete = place;
                    break;
                };
                entry.result = ClaimResult::Pending(result);
            }
        }
        entries.truncate(complete);
        self.messages.blocking_send(Message::Claims(entries)).map_err(|_| Stopped::ResultsEnded)?;
        Ok(handed_over?)
    }
}

/// A body whose claims are handed over before it waits for more.
struct HandingOver<'a, B> {
    body: B,
    reader: &'a RefCell<BatchReader>,
}

impl<B: BatchBody> Read for HandingOver<'_, B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.body.would_wait() {
            self.reader.borrow_mut().hand_over().map_err(|stopped| io::Error::other(NotHandedOver(stopped)))?;
        }
        self.body.read(buffer)
    }
}

/// Why the claims that were read could not be handed over, in an error of the body.
#[derive(Debug, thiserror::Error)]
#[error("the claims that were read could not be handed over")]
struct NotHandedOver(Stopped);

/// Why a body could not be read on.
fn stopped_by(error: io::Error) -> Stopped {
    error.downcast::<NotHandedOver>().map_or_else(|error| BatchError::Input(error).into(), |NotHandedOver(why)| why)
}
