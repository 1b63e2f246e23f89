//! Why a claim needs attention, as the API shows it.

use serde::Serialize;
use utoipa::ToSchema;

/// Why an operator should look at a claim: one reason or both.
#[derive(Serialize, ToSchema)]
pub(super) struct AttentionResponse {
    /// Why its payment needs a person, as payments reports it; null where it does not.
    #[schema(examples(
        "the gateway gave no definite answer to 28 requests (the last: 503); the request is still being sent"
    ))]
    payment: Option<String>,
    /// That its outcome did not come after repeated requests; null where it is not overdue.
    #[schema(examples("no outcome after 10 requests"))]
    outcome: Option<String>,
}

impl AttentionResponse {
    /// The reasons; `None` if the claim needs no attention.
    pub(super) fn of(payment: Option<String>, outcome_overdue: bool, request_count: i64) -> Option<Self> {
        let outcome = outcome_overdue.then(|| format!("no outcome after {request_count} requests"));
        (payment.is_some() || outcome.is_some()).then_some(Self { payment, outcome })
    }
}
