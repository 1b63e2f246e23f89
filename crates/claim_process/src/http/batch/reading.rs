//! Reads the claims of a batch one after another, checks each, and hands those that are good to the writer.

use super::body::Body;
use super::earlier::Earlier;
use super::intent::{Intent, Purpose};
use super::lookups::Lookups;
use crate::db::known_key;
use crate::db::submit::{IdempotencyKey, Submission, Submitted};
use crate::domain::finding::Finding;
use crate::domain::identifiers::ClaimId;
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::rule_set::{RuleSet, Validation};
use crate::http::foreseen::Checked;
use crate::ingest::{Answer, IngestQueue};
use crate::intake::batch::{BatchClaim, BatchFormat, BatchLimits, Ended, Grouping, StandsIn, read_batch};
use service_runtime::http_server::too_large;
use service_runtime::problem::Problem;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

/// What is known of a batch so far, in its order.
pub(super) enum Read {
    /// A claim.
    Claim { index: u64, stands_in: Option<StandsIn>, file_line: Option<u64>, fate: Fate },
    /// No more can be read, or there is no more.
    End(Result<(), Problem>),
}

/// What becomes of a claim.
pub(super) enum Fate {
    Refused {
        errors: Vec<Finding>,
        /// None where it was to be stored: that names only what has to be put right.
        warnings: Vec<Finding>,
    },
    /// Its key says so.
    Known(Submitted),
    /// It breaks no rule, and is only checked.
    Valid { checked: Checked, warnings: Vec<Finding> },
    /// The writer has it.
    Submitted(Answer),
}

impl Fate {
    fn refused(errors: Vec<Finding>) -> Self {
        Self::Refused { errors, warnings: vec![] }
    }
}

/// What reading a batch needs.
pub(super) struct Reading {
    pub rules: Arc<RuleSet>,
    pub ingest: IngestQueue,
    pub lookups: Lookups,
    /// A place for each claim of any batch that waits to be stored.
    pub waiting: Arc<Semaphore>,
    /// How long to wait for a place.
    pub patience: Duration,
    pub intent: Intent,
    pub key: Option<String>,
    pub earlier: Earlier,
    pub correlation_id: String,
    pub traceparent: Option<String>,
    pub runtime: Handle,
    /// Its capacity bounds the claims whose results are not written yet.
    pub results: mpsc::Sender<Read>,
    pub claims: u64,
    pub max_claims: u64,
}

/// Why a batch is not read on.
enum Stopped {
    Problem(Problem),
    /// Whoever writes the results has ended, and said why.
    ResultsEnded,
}

impl Reading {
    /// Reads to the end. Blocks.
    pub fn run(mut self, body: Body, format: Option<BatchFormat>, grouping: Grouping, limits: BatchLimits) {
        let end = match read_batch(body, format, grouping, limits, &mut |claim| self.take(claim)) {
            Ok(()) => Ok(()),
            Err(Ended::Stopped(Stopped::ResultsEnded)) => return,
            Err(Ended::Stopped(Stopped::Problem(problem))) => Err(problem),
            Err(Ended::Malformed(malformed)) => Err(Problem::malformed(malformed.0)),
            Err(Ended::Input(error)) => Err(input_problem(error)),
        };
        // Whoever writes the results may have ended by now.
        let _ = self.results.blocking_send(Read::End(end));
    }

    fn take(&mut self, claim: BatchClaim) -> Result<(), Stopped> {
        let index = self.claims;
        if index == self.max_claims {
            let problem = too_large(format!("a batch may have at most {index} claims: send the rest as another"));
            return Err(Stopped::Problem(problem));
        }
        self.claims += 1;
        let BatchClaim { stands_in, file_line, form, hash } = claim;
        if self.intent.purpose == Purpose::Store {
            self.earlier.pass(index, &hash).map_err(Stopped::Problem)?;
        }
        let fate = match form {
            Ok(form) => self.check(index, &form, hash)?,
            Err(refusal) => Fate::refused(vec![refusal.finding()]),
        };
        self.results.blocking_send(Read::Claim { index, stands_in, file_line, fate }).map_err(|_| Stopped::ResultsEnded)
    }

    fn check(&self, index: u64, form: &RawClaim, hash: String) -> Result<Fate, Stopped> {
        let Validation { claim, refused, warnings } = self.rules.validate(form, jiff::Timestamp::now());
        if self.intent.purpose == Purpose::Validate {
            return Ok(match claim {
                Some(claim) => Fate::Valid { checked: Checked::new(&self.rules, &claim), warnings },
                None => Fate::Refused { errors: refused, warnings },
            });
        }
        let idempotency = self.key.as_ref().map(|key| IdempotencyKey::of_batch(key, index, hash));
        let Some(claim) = claim else {
            // The rules and the day may be other ones than when the same claim was taken.
            let Some(key) = idempotency else { return Ok(Fate::refused(refused)) };
            let before = self.lookups.ask(move |database| known_key::find(database, &key)).map_err(Stopped::Problem)?;
            return Ok(before.map_or_else(|| Fate::refused(refused), Fate::Known));
        };
        let submission = Submission {
            claim_id: ClaimId::random(),
            duplicate_check: self.rules.duplicate_check(&claim),
            claim,
            warnings,
            idempotency,
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
        };
        let handed_over = self.runtime.block_on(async {
            let place =
                tokio::time::timeout(self.patience, Arc::clone(&self.waiting).acquire_owned()).await.ok()?.ok()?;
            self.ingest.submit_one_of_many(submission, place).await.ok()
        });
        match handed_over {
            Some(answer) => Ok(Fate::Submitted(answer)),
            None => Err(Stopped::Problem(self.intent.broke_off(""))),
        }
    }
}

fn input_problem(error: io::Error) -> Problem {
    error
        .downcast::<Problem>()
        .unwrap_or_else(|_| Problem::malformed("the body cannot be unpacked: send it as it is, or packed with gzip"))
}
