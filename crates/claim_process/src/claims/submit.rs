//! Submitting a claim: it is checked and, where nothing speaks against it, stored. The way is the same for a claim that comes
//! alone and for one of a batch; what differs is how long each waits for the writer and for the database.

use super::admission::Admission;
use super::idempotency::answered_before;
use super::submission::{IdempotencyKey, Origin, Submission, Submitted};
use super::tally::Tally;
use super::writer::{IngestQueue, NotStored};
use crate::domain::finding::Finding;
use crate::domain::identifiers::random_claim_id;
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::rule_set::{RuleSet, Validation};
use jiff::Timestamp;
use service_runtime::database_gate::{DatabaseGate, GateError};
use std::sync::Arc;
use std::time::Instant;

/// A claim that cannot be stored as it is.
#[derive(Debug)]
pub struct Refused {
    /// Everything that speaks against it.
    pub findings: Vec<Finding>,
    /// Its key. The rules and the day may have been other ones when the same request was taken, so
    /// [`answered_before`] comes first.
    pub key: Option<IdempotencyKey>,
}

/// Why a claim that is submitted has no result.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The rules refuse it.
    #[error("the rules refuse the claim")]
    Refused(Vec<Finding>),
    /// Its key could not be looked up.
    #[error(transparent)]
    LookUp(#[from] GateError),
    /// It was not stored.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// Checks a claim that comes now, and makes of it what the writer stores.
///
/// # Errors
/// [`Refused`].
pub fn prepare(
    rules: &RuleSet,
    raw: &RawClaim,
    key: Option<IdempotencyKey>,
    origin: &Origin,
) -> Result<Submission, Refused> {
    let Validation { claim, refused, warnings } = rules.validate(raw, Timestamp::now());
    match claim {
        Some(claim) => Ok(Submission {
            claim_id: random_claim_id(),
            duplicate_check: rules.duplicate_check(&claim),
            claim,
            warnings,
            idempotency: key,
            origin: origin.clone(),
        }),
        None => Err(Refused { findings: refused, key }),
    }
}

/// Submits claims that come alone. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Submitter {
    rules: Arc<RuleSet>,
    database: DatabaseGate,
    queue: IngestQueue,
    admission: Admission,
    tally: Tally,
}

impl Submitter {
    /// Submits claims to the writer behind `queue`, as many at once as `admission` allows, and looks up known keys in `database`.
    pub fn new(
        rules: Arc<RuleSet>,
        database: DatabaseGate,
        queue: IngestQueue,
        admission: Admission,
        tally: Tally,
    ) -> Self {
        Self { rules, database, queue, admission, tally }
    }

    /// Whether another claim may come, so that one that would be refused anyway is not read.
    ///
    /// # Errors
    /// [`NotStored::QueueFull`].
    pub fn check_room(&self) -> Result<(), NotStored> {
        if self.admission.is_full() {
            self.tally.not_stored();
            return Err(NotStored::QueueFull);
        }
        Ok(())
    }

    /// Submits a claim and waits for what becomes of it. A request that was answered before has the same result again, also
    /// where the rules would refuse it now.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(
        &self,
        raw: &RawClaim,
        key: Option<IdempotencyKey>,
        origin: &Origin,
    ) -> Result<Submitted, SubmitError> {
        let began = Instant::now();
        let result = match prepare(&self.rules, raw, key, origin) {
            Ok(submission) => self.store(submission).await.map_err(SubmitError::from),
            Err(refused) => self.refuse(refused).await,
        };
        self.tally.took(began.elapsed());
        match &result {
            Ok(Submitted::Accepted(claim)) => {
                tracing::debug!(
                    claim_id = claim.row.claim_id.as_str(),
                    lines = claim.lines.len(),
                    "a claim was accepted"
                );
                self.tally.accepted(1);
            }
            Ok(Submitted::LikelyDuplicate { .. }) | Err(SubmitError::Refused(_)) => self.tally.refused(1),
            Ok(Submitted::Replayed(_)) => self.tally.replayed(1),
            Err(SubmitError::LookUp(_) | SubmitError::NotStored(_)) => self.tally.not_stored(),
            Ok(Submitted::KeyReused | Submitted::ExternalIdTaken { .. }) => {}
        }
        result
    }

    async fn store(&self, submission: Submission) -> Result<Submitted, NotStored> {
        let _place = self.admission.admit().ok_or(NotStored::QueueFull)?;
        self.queue.submit(submission).await
    }

    async fn refuse(&self, Refused { findings, key }: Refused) -> Result<Submitted, SubmitError> {
        let before = match key {
            Some(key) => self.database.try_run(move |database| answered_before(database, &key)).await?,
            None => None,
        };
        before.ok_or(SubmitError::Refused(findings))
    }
}
