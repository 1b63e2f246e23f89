//! A stored claim as the API shows it: money as text with two decimals, times as RFC 3339.

use super::attention::AttentionResponse;
use crate::claims::queries::{LineRow, StoredClaim};
use crate::domain::claim::{Claim, Line};
use crate::domain::finding::Finding;
use crate::domain::timeline::TimelineEvent;
use crate::domain::transition::Status;
use claim_events::Cents;
use claim_events::{Cause, Compensation, OutcomeKind, PaymentEvent, Step, rfc3339};
use serde::{Serialize, Serializer};
use service_runtime::api::{Money, Time};
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// A claim as it is stored.
#[derive(Serialize, ToSchema)]
pub(super) struct ClaimResponse {
    /// 22 letters and digits.
    #[schema(examples("4fXk0aV1StGXR8Z5jdHi6B"), pattern = "^[0-9A-Za-z]{22}$")]
    id: String,
    /// The sender's own id.
    external_claim_id: Option<String>,
    /// Where it stands.
    status: Status,
    /// Whether an operator should look.
    needs_attention: bool,
    /// Why; null where it needs no attention.
    attention: Option<AttentionResponse>,
    plan_group: String,
    subscriber_id: String,
    provider_npi: String,
    #[schema(value_type = Money)]
    net_fee: Amount,
    #[schema(value_type = Time)]
    submitted_at: String,
    lines: Vec<LineResponse>,
    /// What was noticed and does not hinder it.
    warnings: Vec<Finding>,
    /// What became of its payment; null while that is pending.
    outcome: Option<OutcomeResponse>,
    /// What happened to it, oldest first.
    timeline: Vec<TimelineResponse>,
}

/// Money as the API shows it. It becomes text where the response is written: a claim of four lines has twenty-one amounts.
struct Amount(Cents);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.text().as_str())
    }
}

#[derive(Serialize, ToSchema)]
struct LineResponse {
    line: i64,
    #[schema(format = Date)]
    service_date: String,
    submitted_procedure: String,
    quadrant: Option<String>,
    #[schema(value_type = Money)]
    provider_fees: Amount,
    #[schema(value_type = Money)]
    allowed_fees: Amount,
    #[schema(value_type = Money)]
    member_coinsurance: Amount,
    #[schema(value_type = Money)]
    member_copay: Amount,
    #[schema(value_type = Money)]
    net_fee: Amount,
}

/// A claim as it would be stored.
#[derive(Serialize, ToSchema)]
pub(super) struct ClaimPreview {
    external_claim_id: Option<String>,
    plan_group: String,
    subscriber_id: String,
    provider_npi: String,
    #[schema(value_type = String)]
    net_fee: Amount,
    lines: Vec<LineResponse>,
}

#[derive(Serialize, ToSchema)]
struct TimelineResponse {
    #[schema(value_type = Time)]
    at: String,
    #[schema(value_type = String)]
    event: TimelineEvent,
    /// Why the claim was voided, where this is when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What became of a claim's payment.
#[derive(Serialize, ToSchema)]
struct OutcomeResponse {
    #[serde(rename = "type")]
    kind: OutcomeKind,
    version: i64,
    #[schema(value_type = Time)]
    at: String,
    #[serde(flatten)]
    detail: Detail,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Detail {
    Settled {
        #[schema(value_type = Money)]
        amount: Amount,
    },
    Unwound {
        cause: Cause,
        failed_step: Option<Step>,
        reason_code: Option<String>,
        reason: Option<String>,
        compensations: Vec<Compensation>,
    },
}

/// Room for a claim of six lines: fewer times than with less is the text moved while it grows.
const USUAL_BYTES: usize = 2_048;

impl ClaimResponse {
    /// The claim as JSON.
    ///
    /// # Errors
    /// 500, which does not happen: the claim is plain data.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, Problem> {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut json, self).map_err(|_| Problem::internal())?;
        Ok(json)
    }
}

impl From<StoredClaim> for ClaimResponse {
    fn from(claim: StoredClaim) -> Self {
        let outcome = outcome(&claim);
        let warnings = claim.warnings();
        let StoredClaim { row, lines, timeline } = claim;
        let submitted_at = rfc3339(row.submitted_at_us);
        let submitted = TimelineResponse { at: submitted_at.clone(), event: TimelineEvent::Submitted, reason: None };
        let later = timeline.into_iter().map(|entry| TimelineResponse {
            at: rfc3339(entry.at_us),
            reason: row.void_reason.clone().filter(|_| entry.event == TimelineEvent::VoidRequested),
            event: entry.event,
        });
        let timeline = std::iter::once(submitted).chain(later).collect();
        Self {
            id: row.claim_id.to_string(),
            external_claim_id: row.external_claim_id,
            status: row.status,
            needs_attention: row.needs_attention,
            attention: AttentionResponse::of(
                row.attention.payment_attention,
                row.attention.outcome_overdue,
                row.request_count,
            ),
            plan_group: row.plan_group,
            subscriber_id: row.subscriber_id,
            provider_npi: row.provider_npi.to_string(),
            net_fee: Amount(row.net_fee_cents),
            submitted_at,
            lines: lines.into_iter().map(LineResponse::from).collect(),
            warnings,
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
            net_fee: Amount(claim.net_fee()),
            lines: claim.lines.iter().zip(1..).map(|(line, number)| LineResponse::of(line, number)).collect(),
        }
    }
}

impl LineResponse {
    /// A line that is not stored.
    fn of(line: &Line, number: i64) -> Self {
        Self {
            line: number,
            service_date: line.service_date.to_string(),
            submitted_procedure: line.submitted_procedure.as_str().to_owned(),
            quadrant: line.quadrant.map(|quadrant| quadrant.as_str().to_owned()),
            provider_fees: Amount(line.provider_fees),
            allowed_fees: Amount(line.allowed_fees),
            member_coinsurance: Amount(line.member_coinsurance),
            member_copay: Amount(line.member_copay),
            net_fee: Amount(line.net_fee()),
        }
    }
}

impl From<LineRow> for LineResponse {
    fn from(row: LineRow) -> Self {
        Self {
            line: row.line,
            service_date: row.service_date,
            submitted_procedure: row.submitted_procedure,
            quadrant: row.quadrant,
            provider_fees: Amount(Cents(row.provider_fees_cents)),
            allowed_fees: Amount(Cents(row.allowed_fees_cents)),
            member_coinsurance: Amount(Cents(row.member_coinsurance_cents)),
            member_copay: Amount(Cents(row.member_copay_cents)),
            net_fee: Amount(Cents(row.net_fee_cents)),
        }
    }
}

fn outcome(claim: &StoredClaim) -> Option<OutcomeResponse> {
    let stored = claim.row.outcome.as_ref()?;
    let event = stored.event()?;
    let kind = event.kind();
    let detail = match event {
        PaymentEvent::Settled(settled) => Detail::Settled { amount: Amount(Cents(settled.amount_cents)) },
        PaymentEvent::Unwound(unwound) => Detail::Unwound {
            cause: unwound.cause,
            failed_step: unwound.failed_step,
            reason_code: unwound.reason_code,
            reason: unwound.reason,
            compensations: unwound.compensations,
        },
    };
    Some(OutcomeResponse { kind, version: stored.version, at: rfc3339(stored.at_us), detail })
}
