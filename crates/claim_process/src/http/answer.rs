//! A stored claim as the API shows it: money as text with two decimals, times as RFC 3339.

use crate::db::claims::{LineRow, StoredClaim};
use crate::db::submit::line_rows;
use crate::domain::cents::Cents;
use crate::domain::claim::Claim;
use crate::domain::form::Finding;
use claim_events::{Cause, Compensation, OutcomeKind, PaymentEvent, Step, rfc3339};
use serde::Serialize;

/// A claim.
#[derive(Serialize)]
pub(super) struct ClaimAnswer {
    id: String,
    external_claim_id: Option<String>,
    status: String,
    needs_attention: bool,
    plan_group: String,
    subscriber_id: String,
    provider_npi: String,
    net_fee: String,
    submitted_at: String,
    lines: Vec<LineAnswer>,
    warnings: Vec<Finding>,
    outcome: Option<OutcomeAnswer>,
    timeline: Vec<TimelineAnswer>,
}

#[derive(Serialize)]
struct LineAnswer {
    line: i64,
    service_date: String,
    submitted_procedure: String,
    quadrant: Option<String>,
    provider_fees: String,
    allowed_fees: String,
    member_coinsurance: String,
    member_copay: String,
    net_fee: String,
}

/// A claim as it would be stored.
#[derive(Serialize)]
pub(super) struct ClaimPreview {
    external_claim_id: Option<String>,
    plan_group: String,
    subscriber_id: String,
    provider_npi: String,
    net_fee: String,
    lines: Vec<LineAnswer>,
}

#[derive(Serialize)]
struct TimelineAnswer {
    at: String,
    event: String,
    /// Why the claim was withdrawn, where this is when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What became of a claim's payment.
#[derive(Serialize)]
struct OutcomeAnswer {
    #[serde(rename = "type")]
    kind: OutcomeKind,
    version: i64,
    at: String,
    #[serde(flatten)]
    detail: Detail,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Detail {
    Settled {
        amount: String,
    },
    Unwound {
        cause: Cause,
        failed_step: Option<Step>,
        reason_code: Option<String>,
        reason: Option<String>,
        compensations: Vec<Compensation>,
    },
}

impl From<StoredClaim> for ClaimAnswer {
    fn from(claim: StoredClaim) -> Self {
        let outcome = outcome(&claim);
        let StoredClaim { row, lines, timeline } = claim;
        let submitted_at = rfc3339(row.submitted_at_us);
        let submitted = TimelineAnswer { at: submitted_at.clone(), event: "claim.submitted".to_owned(), reason: None };
        let later = timeline.into_iter().map(|entry| TimelineAnswer {
            at: rfc3339(entry.at_us),
            reason: row.void_reason.clone().filter(|_| entry.event == "claim.void_requested"),
            event: entry.event,
        });
        let timeline = std::iter::once(submitted).chain(later).collect();
        Self {
            id: row.claim_id,
            external_claim_id: row.external_claim_id,
            status: row.status,
            needs_attention: row.needs_attention,
            plan_group: row.plan_group,
            subscriber_id: row.subscriber_id,
            provider_npi: row.provider_npi,
            net_fee: Cents(row.net_fee_cents).to_string(),
            submitted_at,
            lines: lines.into_iter().map(LineAnswer::from).collect(),
            warnings: serde_json::from_str(&row.warnings).unwrap_or_default(),
            outcome,
            timeline,
        }
    }
}

impl From<&Claim> for ClaimPreview {
    fn from(claim: &Claim) -> Self {
        Self {
            external_claim_id: claim.external_claim_id.as_ref().map(|id| id.as_str().to_owned()),
            plan_group: claim.plan_group.as_str().to_owned(),
            subscriber_id: claim.subscriber_id.as_str().to_owned(),
            provider_npi: claim.provider_npi.as_str().to_owned(),
            net_fee: claim.net_fee().to_string(),
            lines: line_rows(claim).into_iter().map(LineAnswer::from).collect(),
        }
    }
}

impl From<LineRow> for LineAnswer {
    fn from(row: LineRow) -> Self {
        Self {
            line: row.line,
            service_date: row.service_date,
            submitted_procedure: row.submitted_procedure,
            quadrant: row.quadrant,
            provider_fees: Cents(row.provider_fees_cents).to_string(),
            allowed_fees: Cents(row.allowed_fees_cents).to_string(),
            member_coinsurance: Cents(row.member_coinsurance_cents).to_string(),
            member_copay: Cents(row.member_copay_cents).to_string(),
            net_fee: Cents(row.net_fee_cents).to_string(),
        }
    }
}

fn outcome(claim: &StoredClaim) -> Option<OutcomeAnswer> {
    let row = &claim.row;
    let event = row.outcome_event()?;
    let kind = event.kind();
    let detail = match event {
        PaymentEvent::Settled(settled) => Detail::Settled { amount: Cents(settled.amount_cents).to_string() },
        PaymentEvent::Unwound(unwound) => Detail::Unwound {
            cause: unwound.cause,
            failed_step: unwound.failed_step,
            reason_code: unwound.reason_code,
            reason: unwound.reason,
            compensations: unwound.compensations,
        },
    };
    Some(OutcomeAnswer { kind, version: row.outcome_version?, at: rfc3339(row.outcome_at_us?), detail })
}
