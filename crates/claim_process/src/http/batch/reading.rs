//! Reads the claims of a batch one after another, checks each, and hands those that are good to the writer.

use super::Purpose;
use super::body::Body;
use crate::db::submit::{IdempotencyKey, Submission, Submitted};
use crate::domain::form::{ClaimForm, Finding};
use crate::domain::identifiers::ClaimId;
use crate::domain::rules::{Judgement, RuleBook};
use crate::http::answered_before;
use crate::ingest::{Answer, IngestQueue};
use crate::intake::batch::{BatchClaim, BatchFormat, BatchLimits, Ended, Grouping, StandsIn, read_batch};
use actix_web::ResponseError;
use actix_web::http::StatusCode;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::http_server::too_large;
use service_runtime::problem::Problem;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How soon to send a batch again that broke off, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// How soon to ask again what a key stands for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

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
    /// It was only checked.
    Valid { warnings: Vec<Finding> },
    /// The writer has it.
    Submitted {
        answer: Answer,
        /// Its place among the claims that wait.
        place: OwnedSemaphorePermit,
    },
}

impl Fate {
    fn refused(errors: Vec<Finding>) -> Self {
        Self::Refused { errors, warnings: vec![] }
    }
}

/// What reading a batch needs.
pub(super) struct Reading {
    pub rules: Arc<RuleBook>,
    pub ingest: IngestQueue,
    pub database: DatabaseGate,
    /// A place for each claim of any batch that waits to be stored.
    pub waiting: Arc<Semaphore>,
    /// A place for each claim of any batch whose key is looked up.
    pub lookups: Arc<Semaphore>,
    /// How long to wait for a place, or for the database.
    pub patience: Duration,
    pub purpose: Purpose,
    pub key: Option<String>,
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
        let fate = match form {
            Ok(form) => self.check(index, &form, hash)?,
            Err(refusal) => Fate::refused(vec![refusal.finding()]),
        };
        self.results.blocking_send(Read::Claim { index, stands_in, file_line, fate }).map_err(|_| Stopped::ResultsEnded)
    }

    fn check(&self, index: u64, form: &ClaimForm, hash: String) -> Result<Fate, Stopped> {
        let Judgement { claim, refused, warnings } = self.rules.judge(form, jiff::Timestamp::now());
        if self.purpose == Purpose::Validate {
            return Ok(match claim {
                Some(_) => Fate::Valid { warnings },
                None => Fate::Refused { errors: refused, warnings },
            });
        }
        let idempotency = self.key.as_ref().map(|key| IdempotencyKey::of_batch(key, index, hash));
        let Some(claim) = claim else {
            // The rules and the day may be other ones than when the same claim was taken.
            let before = idempotency.map(|key| self.answered_before(&key)).transpose()?.flatten();
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
            Some((place, self.ingest.submit_one_of_many(submission).await.ok()?))
        });
        match handed_over {
            Some((place, answer)) => Ok(Fate::Submitted { answer, place }),
            None => Err(Stopped::Problem(broke_off("", self.purpose, self.key.is_some()))),
        }
    }

    /// What a claim was answered before. Waits for its turn, and where others fill the way to the database.
    fn answered_before(&self, key: &IdempotencyKey) -> Result<Option<Submitted>, Stopped> {
        let until = Instant::now() + self.patience;
        loop {
            let asked = self.runtime.block_on(async {
                let _turn = tokio::time::timeout(self.patience, self.lookups.acquire()).await.ok()?.ok()?;
                Some(answered_before(&self.database, key.clone()).await)
            });
            match asked {
                Some(Ok(before)) => return Ok(before),
                Some(Err(problem)) if problem.status_code() != StatusCode::SERVICE_UNAVAILABLE => {
                    return Err(Stopped::Problem(problem));
                }
                Some(Err(_)) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
                Some(Err(_)) | None => return Err(Stopped::Problem(broke_off("", self.purpose, self.key.is_some()))),
            }
        }
    }
}

/// Said of a batch that broke off because nobody reads its results.
pub(super) const RESULTS_UNREAD: &str = " because too many of its results wait to be read, so read them while you send";

/// The database is gone in the middle of a batch, or its results find no room, and `why` says more. `keyed`: whether there is
/// a key with which the batch can be sent again without a second claim for any of its claims.
pub(super) fn broke_off(why: &str, purpose: Purpose, keyed: bool) -> Problem {
    let then = match purpose {
        Purpose::Validate => "send the whole again, nothing of it is stored",
        Purpose::Store if keyed => "send the whole again with the same Idempotency-Key, and nothing is stored twice",
        Purpose::Store => {
            "it came without an Idempotency-Key, and a claim that has no result may be stored all the same; look for it with \
             GET /v1/claims before you send it again"
        }
    };
    Problem::unavailable(format!("the batch broke off here{why}: {then}"), RETRY_AFTER_S)
}

fn input_problem(error: io::Error) -> Problem {
    error
        .downcast::<Problem>()
        .unwrap_or_else(|_| Problem::malformed("the body cannot be unpacked: send it as it is, or packed with gzip"))
}
