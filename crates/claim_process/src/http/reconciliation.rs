//! `GET /v1/reconciliation`: what was submitted against what became of it, and what does not agree, by name and number.

use super::attention::AttentionResponse;
use crate::claims::queries::{self, Agreement, AsOf, Each, Pair, Reconciliation, Sum, Waiting};
use actix_web::{HttpResponse, web};
use claim_events::Cents;
use claim_events::rfc3339;
use serde::Serialize;
use service_runtime::api::{Money, Time};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem::Problem;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct ReconciliationResponse {
    #[schema(value_type = Time)]
    as_of: String,
    submitted: SumResponse,
    /// Of these, those whose `claim.submitted` Kafka has acknowledged. Whether Kafka still has it is not known.
    published: SumResponse,
    /// Of these, the others: the event waits in the outbox. It is sent in a moment, or as soon as Kafka is there. A claim that is
    /// re-published, since its outcome is overdue, is one of them until Kafka has acknowledged that, too.
    unpublished: SumResponse,
    /// How long the oldest event of these has waited.
    oldest_unpublished_age_s: Option<i64>,
    settled: SumResponse,
    unwound: SumResponse,
    pending: SumResponse,
    oldest_pending_age_s: Option<i64>,
    needs_attention: SumResponse,
    oldest_needs_attention_age_s: Option<i64>,
    /// The 20 of these that wait the longest, longest first; `GET /v1/claims?needs_attention=true` has all.
    needing_attention: Vec<WaitingResponse>,
    /// Whether all of `checks` do.
    agrees: bool,
    /// What does not agree, in words and numbers.
    #[schema(examples(json!(["settled claims are paid their net fees: 2 claims of 30.00 expected, 2 claims of 29.00 found, 1 off"])))]
    disagreements: Vec<String>,
    checks: Vec<Check>,
}

#[derive(Serialize, ToSchema)]
struct SumResponse {
    claims: i64,
    #[schema(value_type = Money)]
    net_fee: String,
    net_fee_cents: i64,
}

/// A claim that an operator should look at.
#[derive(Serialize, ToSchema)]
struct WaitingResponse {
    id: String,
    status: String,
    #[schema(value_type = Money)]
    net_fee: String,
    /// Since it was submitted or voided.
    age_s: i64,
    request_count: i64,
    /// Why.
    attention: Option<AttentionResponse>,
}

/// Two sums that must be the same, for each claim or provider and in all.
#[derive(Serialize, ToSchema)]
struct Check {
    name: &'static str,
    expected: SumResponse,
    found: SumResponse,
    agrees: bool,
    /// How many claims or providers are off. They may cancel each other out in the sums.
    off: i64,
    /// The first 20 of them.
    named: Vec<OffResponse>,
}

/// A claim, by its id, or a provider, by its NPI, that is off.
#[derive(Serialize, ToSchema)]
struct OffResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    claim_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_npi: Option<String>,
    expected: SumResponse,
    found: SumResponse,
}

impl From<Sum> for SumResponse {
    fn from(Sum { claims, cents }: Sum) -> Self {
        Self { claims, net_fee: Cents(cents).to_string(), net_fee_cents: cents }
    }
}

impl WaitingResponse {
    fn of(waiting: Waiting, now_us: i64) -> Self {
        Self {
            id: waiting.claim_id,
            status: waiting.status,
            net_fee: Cents(waiting.net_fee_cents).to_string(),
            age_s: age_s(waiting.since_us, now_us),
            request_count: waiting.request_count,
            attention: AttentionResponse::of(waiting.payment_attention, waiting.outcome_overdue, waiting.request_count),
        }
    }
}

impl From<Agreement> for Check {
    fn from(agreement: Agreement) -> Self {
        Self {
            name: agreement.name,
            expected: agreement.expected.into(),
            found: agreement.found.into(),
            agrees: agreement.off == 0,
            off: agreement.off,
            named: agreement.named.into_iter().map(|pair| OffResponse::of(pair, agreement.each)).collect(),
        }
    }
}

impl OffResponse {
    fn of(Pair { id, expected, found }: Pair, each: Each) -> Self {
        let (claim_id, provider_npi) = match each {
            Each::Claim => (Some(id), None),
            Each::Provider => (None, Some(id)),
        };
        Self { claim_id, provider_npi, expected: expected.into(), found: found.into() }
    }
}

/// What was submitted, and what became of it.
///
/// Counts and sums at one moment, and what does not agree: which sums, by how much, and which claims or providers.
#[utoipa::path(get, path = "/v1/reconciliation", tag = "claims", operation_id = "reconcile",
    responses((status = 200, description = "Counts and sums at one moment.", body = ReconciliationResponse)))]
pub(super) async fn reconcile(database: web::Data<DatabaseGate>) -> Result<HttpResponse, Problem> {
    let AsOf { value: (found, agreements), now_us } = database.for_reports().run(queries::reconcile).await?;
    Ok(HttpResponse::Ok().json(response(found, agreements, now_us)))
}

fn response(found: Reconciliation, agreements: Vec<Agreement>, now_us: i64) -> ReconciliationResponse {
    let age = |since_us: Option<i64>| since_us.map(|since_us| age_s(since_us, now_us));
    let disagreements: Vec<String> = agreements.iter().filter(|one| one.off > 0).map(in_words).collect();
    ReconciliationResponse {
        as_of: rfc3339(now_us),
        submitted: found.submitted.into(),
        published: found.published.into(),
        unpublished: found.unpublished.into(),
        oldest_unpublished_age_s: age(found.unpublished_since_us),
        settled: found.settled.into(),
        unwound: found.unwound.into(),
        pending: found.pending.into(),
        oldest_pending_age_s: age(found.pending_since_us),
        needs_attention: found.needs_attention.into(),
        oldest_needs_attention_age_s: age(found.needing_attention.first().map(|oldest| oldest.since_us)),
        needing_attention: found.needing_attention.into_iter().map(|one| WaitingResponse::of(one, now_us)).collect(),
        agrees: disagreements.is_empty(),
        disagreements,
        checks: agreements.into_iter().map(Check::from).collect(),
    }
}

fn age_s(since_us: i64, now_us: i64) -> i64 {
    (now_us - since_us).max(0) / 1_000_000
}

fn in_words(agreement: &Agreement) -> String {
    let sum = |Sum { claims, cents }: Sum| {
        format!("{claims} claim{} of {}", if claims == 1 { "" } else { "s" }, Cents(cents))
    };
    let Agreement { name, expected, found, off, .. } = agreement;
    format!("{name}: {} expected, {} found, {off} off", sum(*expected), sum(*found))
}
