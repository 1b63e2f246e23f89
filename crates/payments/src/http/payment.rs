//! `GET /v1/payments/{claim_id}`: the state of a claim's payment, step by step, with its transfers.

use super::money::money;
use crate::domain::saga::{Disbursement, Reservation, State};
use crate::queries::{OperatorActionRow, Payment, StoredSaga, TransferRow, find_payment};
use actix_web::{HttpResponse, web};
use claim_events::{Cause, Compensation, OutcomeKind, Step, rfc3339};
use serde::Serialize;
use service_runtime::api::{Money, Time, one_of};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem::Problem;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The most operator actions that are shown.
const MOST_ACTIONS: i64 = 100;

/// The schema of the state of a payment: the names of [`State`], and `stuck`. There are no values of this type.
pub(super) enum StateName {}

impl ToSchema for StateName {}

impl PartialSchema for StateName {
    fn schema() -> RefOr<Schema> {
        let mut names = one_of(State::ALL.into_iter().map(State::name).chain([State::STUCK]));
        names.description = Some(
            "The state of a payment. `stuck` is `suspect`, `working` or `unwinding` without progress; or settled or unwound, where \
             claim_process has not recorded an unsolicited outcome although it was published again and again."
                .to_owned(),
        );
        names.into()
    }
}

/// A payment with its steps and transfers.
#[derive(Serialize, ToSchema)]
pub(super) struct PaymentAnswer {
    claim_id: String,
    #[schema(value_type = StateName)]
    state: &'static str,
    #[schema(value_type = Money)]
    amount: String,
    plan_group: String,
    provider_npi: String,
    claim_version: i64,
    revision: i64,
    steps: Vec<StepAnswer>,
    compensations: Vec<Compensation>,
    unwinding: Option<UnwindingAnswer>,
    outcome: Option<OutcomeAnswer>,
    stuck_reason: Option<String>,
    worker: Option<String>,
    #[schema(value_type = Option<Time>)]
    next_attempt_at: Option<String>,
    #[schema(value_type = Time)]
    started_at: String,
    #[schema(value_type = Time)]
    updated_at: String,
    transfers: Vec<TransferAnswer>,
    /// The last 100 operator actions on it, the oldest first.
    operator_acts: Vec<OperatorActionResponse>,
}

#[derive(Serialize, ToSchema)]
struct StepAnswer {
    step: Step,
    state: &'static str,
    /// Requests that got no definite answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts_without_answer: Option<u32>,
}

#[derive(Serialize, ToSchema)]
struct UnwindingAnswer {
    cause: Cause,
    failed_step: Option<Step>,
    reason_code: String,
    reason: String,
    refund_attempts_without_answer: u32,
}

#[derive(Serialize, ToSchema)]
struct OutcomeAnswer {
    #[serde(rename = "type")]
    kind: OutcomeKind,
    version: i64,
}

#[derive(Serialize, ToSchema)]
struct TransferAnswer {
    id: String,
    kind: String,
    debit: String,
    credit: String,
    #[schema(value_type = Money)]
    amount: String,
    weight: String,
    ends_pending: Option<String>,
    reverses: Option<String>,
    #[schema(value_type = Time)]
    booked_at: String,
}

#[derive(Serialize, ToSchema)]
struct OperatorActionResponse {
    /// `retry`, `force` or `resolve_return`.
    act: String,
    /// The answer given in the gateway's stead, where it was forced; the event's id, where a return was resolved.
    answer: Option<String>,
    reason: String,
    /// Who, as they call themselves.
    operator: Option<String>,
    /// The address of the client.
    client: String,
    state_before: String,
    state_after: String,
    #[schema(value_type = Time)]
    at: String,
}

/// A claim's payment.
///
/// Its state, step by step, and its transfers in the ledger.
#[utoipa::path(get, path = "/v1/payments/{claim_id}", tag = "payments", operation_id = "get_payment",
    params(("claim_id" = String, Path, description = "The claim's id.", example = "4fXk0aV1StGXR8Z5jdHi6B")),
    responses(
        (status = 200, description = "The payment.", body = PaymentAnswer),
        (status = 404, description = "There is no payment for a claim with this id.")))]
pub(super) async fn one(
    claim_id: web::Path<String>,
    database: web::Data<DatabaseGate>,
) -> Result<HttpResponse, Problem> {
    let claim_id = claim_id.into_inner();
    Ok(HttpResponse::Ok().json(find(&database, claim_id).await?))
}

/// Reads a claim's payment.
///
/// # Errors
/// 404 where there is none.
pub(super) async fn find(database: &DatabaseGate, claim_id: String) -> Result<PaymentAnswer, Problem> {
    may_be_there(&claim_id)?;
    let found = database.run(move |database| find_payment(database, &claim_id, MOST_ACTIONS)).await?;
    found.map(PaymentAnswer::from).ok_or_else(no_payment)
}

/// Refuses an id that no database can hold: PostgreSQL refuses a NUL in a text.
///
/// # Errors
/// 404 for such an id.
pub(super) fn may_be_there(claim_id: &str) -> Result<(), Problem> {
    if claim_id.contains('\0') { Err(no_payment()) } else { Ok(()) }
}

pub(super) fn no_payment() -> Problem {
    Problem::not_found("there is no payment for a claim with this id")
}

impl From<Payment> for PaymentAnswer {
    fn from(Payment { saga: stored, transfers, operator_actions }: Payment) -> Self {
        let state = stored.state_name();
        let reason = stored.saga.reason();
        let StoredSaga {
            saga, revision, stuck_reason, worker, next_attempt_at_us, started_at_us, updated_at_us, ..
        } = stored;
        let refund_attempts_without_answer = saga.attempts.refund;
        Self {
            state,
            amount: money(saga.amount_cents),
            claim_version: saga.claim_version,
            revision,
            steps: vec![
                StepAnswer {
                    step: Step::Reserve,
                    state: reserve_state(saga.reservation),
                    attempts_without_answer: None,
                },
                StepAnswer {
                    step: Step::Disburse,
                    state: disburse_state(saga.disbursement),
                    attempts_without_answer: Some(saga.attempts.disburse),
                },
                StepAnswer { step: Step::Post, state: post_state(saga.reservation), attempts_without_answer: None },
            ],
            unwinding: saga.unwinding.zip(reason).map(|(unwinding, reason)| UnwindingAnswer {
                cause: unwinding.cause,
                failed_step: unwinding.failed_step,
                reason_code: reason.code,
                reason: reason.words,
                refund_attempts_without_answer,
            }),
            outcome: saga.outcome.map(|outcome| OutcomeAnswer { kind: outcome.kind, version: outcome.version }),
            compensations: saga.compensations,
            claim_id: saga.claim_id,
            plan_group: saga.plan_group,
            provider_npi: saga.provider_npi,
            stuck_reason,
            worker,
            next_attempt_at: next_attempt_at_us.map(rfc3339),
            started_at: rfc3339(started_at_us),
            updated_at: rfc3339(updated_at_us),
            transfers: transfers.into_iter().map(TransferAnswer::from).collect(),
            operator_acts: operator_actions.into_iter().map(OperatorActionResponse::from).collect(),
        }
    }
}

impl From<TransferRow> for TransferAnswer {
    fn from(row: TransferRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            debit: row.debit_account,
            credit: row.credit_account,
            amount: money(row.amount_cents),
            weight: row.weight,
            ends_pending: row.ends_pending,
            reverses: row.reverses,
            booked_at: rfc3339(row.booked_at_us),
        }
    }
}

impl From<OperatorActionRow> for OperatorActionResponse {
    fn from(row: OperatorActionRow) -> Self {
        Self {
            act: row.action,
            answer: row.answer,
            reason: row.reason,
            operator: row.operator,
            client: row.client,
            state_before: row.state_before,
            state_after: row.state_after,
            at: rfc3339(row.at_us),
        }
    }
}

fn reserve_state(reservation: Reservation) -> &'static str {
    match reservation {
        Reservation::None => "not_done",
        Reservation::Refused => "failed",
        Reservation::Pending | Reservation::Posted => "done",
        Reservation::Released | Reservation::Reversed => "undone",
    }
}

fn disburse_state(disbursement: Disbursement) -> &'static str {
    match disbursement {
        Disbursement::None => "not_done",
        Disbursement::Intended => "under_way",
        Disbursement::Declined => "failed",
        Disbursement::Paid { .. } => "done",
        Disbursement::RefundIntended { .. } => "being_undone",
        Disbursement::RefundFailed { .. } => "refund_failed",
        Disbursement::Refunded | Disbursement::Returned => "undone",
        Disbursement::Owed { .. } => "owed",
    }
}

fn post_state(reservation: Reservation) -> &'static str {
    match reservation {
        Reservation::Posted => "done",
        Reservation::Reversed => "undone",
        Reservation::None | Reservation::Refused | Reservation::Pending | Reservation::Released => "not_done",
    }
}
