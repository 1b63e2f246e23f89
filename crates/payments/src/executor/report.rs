//! What a transaction logs and counts: after its commit, and once. A transaction may be run twice, and one that was rolled
//! back has done nothing that could be reported.

use super::tally::Tally;
use crate::db::attention::SagaAttention;
use crate::domain::saga::{PaymentState, Saga, State, Waiting};

/// Something that a transaction did.
#[derive(Debug)]
pub(super) enum Report {
    /// A payment's outcome is published, perhaps not for the first time.
    Outcome { claim_id: String, state: State, republished: bool },
    /// A payment came back.
    Returned { claim_id: String },
    /// A payment needs a person, since it is stuck at a step, after so many tries, the last of them answered so.
    Stuck { attention: SagaAttention, step: &'static str, tries: u32, last_answer: Option<String> },
    /// A payment that was stuck no longer is.
    NoLongerStuck { claim_id: String, state: PaymentState },
    /// An operator must look.
    Alarm { claim_id: String, what: &'static str },
    /// A claim's event contradicts an earlier one.
    ClaimContradicts,
    /// A claim is too late only by a clock that is not trusted, and is left until it is requested again.
    DeadlineInDoubt,
    /// An answer of the gateway came too late to count.
    StaleAnswer,
    /// claim_process has reannounced its claims since the database was restored.
    Reannounced,
}

impl Report {
    /// Logs and counts it.
    pub(super) fn make(self, tally: &Tally) {
        match self {
            Self::Outcome { claim_id, state, republished } => {
                tally.published(state, republished);
                tracing::debug!(claim_id, state = state.as_str(), republished, "payment outcome published");
            }
            Self::Returned { claim_id } => {
                metrics::counter!("payments_returned_total").increment(1);
                tracing::info!(claim_id, "payment returned");
            }
            Self::Stuck { attention: SagaAttention { claim_id, reason, .. }, step, tries, last_answer } => {
                tracing::warn!(claim_id, step, tries, last_answer, reason, "payment is stuck and needs a person");
            }
            Self::NoLongerStuck { claim_id, state } => {
                tracing::info!(claim_id, state = state.as_str(), "payment is no longer stuck");
            }
            Self::Alarm { claim_id, what } => alarm(&claim_id, what),
            Self::ClaimContradicts => metrics::counter!("claim_contradictions_total").increment(1),
            Self::DeadlineInDoubt => metrics::counter!("deadlines_in_doubt_total").increment(1),
            Self::StaleAnswer => metrics::counter!("stale_answers_total").increment(1),
            Self::Reannounced => {
                tracing::info!("claims reannounced; payments from before the restore are looked up at the gateway")
            }
        }
    }
}

/// What a saga is at: the name of a call that the gateway is to answer, or where the saga stands.
pub(super) fn step(saga: &Saga) -> &'static str {
    match saga.waiting() {
        Some(Waiting::ForPayment) => "disburse",
        Some(Waiting::ForRefund) => "refund",
        Some(Waiting::ForLookUp) => "look_up",
        None if saga.waits_for_record() => "record",
        None => saga.state().as_str(),
    }
}

/// Counts and logs that an operator must look.
pub(super) fn alarm(claim_id: &str, what: &'static str) {
    metrics::counter!("payment_alarms_total").increment(1);
    tracing::error!(claim_id, "{what}");
}
