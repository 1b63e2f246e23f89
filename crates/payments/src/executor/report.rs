//! What a transaction logs and counts: after its commit, and once. A transaction may be run twice, and one that was rolled
//! back has done nothing that could be reported.

use crate::domain::saga::State;

/// Something that a transaction did.
#[derive(Debug)]
pub(super) enum Report {
    /// A payment's outcome is published, perhaps not for the first time.
    Outcome { claim_id: String, state: State, republished: bool },
    /// A payment came back.
    Returned { claim_id: String },
    /// An operator must look.
    Alarm { claim_id: String, what: &'static str },
    /// A claim's event contradicts an earlier one.
    ClaimContradicts,
    /// An answer of the gateway came too late to count.
    StaleAnswer,
    /// claim_process has reannounced its claims since the database was restored.
    Reannounced,
}

impl Report {
    /// Logs and counts it.
    pub(super) fn make(self) {
        match self {
            Self::Outcome { claim_id, state, republished } => {
                metrics::counter!("payment_outcomes_published_total", "state" => state.as_str()).increment(1);
                tracing::info!(claim_id, state = state.as_str(), republished, "payment outcome published");
            }
            Self::Returned { claim_id } => {
                metrics::counter!("payments_returned_total").increment(1);
                tracing::info!(claim_id, "payment returned");
            }
            Self::Alarm { claim_id, what } => alarm(&claim_id, what),
            Self::ClaimContradicts => metrics::counter!("claim_contradictions_total").increment(1),
            Self::StaleAnswer => metrics::counter!("stale_answers_total").increment(1),
            Self::Reannounced => {
                tracing::info!("claims reannounced; payments from before the restore are looked up at the gateway")
            }
        }
    }
}

/// Counts and logs that an operator must look.
pub(super) fn alarm(claim_id: &str, what: &'static str) {
    metrics::counter!("payment_alarms_total").increment(1);
    tracing::error!(claim_id, "{what}");
}
