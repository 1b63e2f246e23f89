//! `GET /v1/payments/{claim_id}`: the state of a claim's payment, step by step, with its transfers.

use crate::domain::ledger::{Kind, Weight};
use crate::domain::saga::{ActionKind, Disbursement, PaymentState, Reservation};
use crate::queries::{OperatorActionRow, Payment, StoredSaga, TransferRow, find_payment};
use actix_web::{HttpResponse, web};
use claim_events::Cents;
use claim_events::{Cause, Compensation, OutcomeKind, Step, rfc3339};
use serde::Serialize;
use service_runtime::api::{Money, Time};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem::Problem;
use text_enum::text_enum;
use utoipa::ToSchema;

/// The most operator actions that are shown.
const MOST_ACTIONS: i64 = 100;

/// A payment with its steps and transfers.
#[derive(Serialize, ToSchema)]
pub(super) struct PaymentAnswer {
    claim_id: String,
    state: PaymentState,
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
    /// The gateway's last answer, in a few words, while it is not definite.
    #[schema(examples("503"))]
    last_answer: Option<String>,
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
    state: StepState,
    /// Requests that got no definite answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts_without_answer: Option<u32>,
}

text_enum! {
    /// Where a step of a payment stands.
    #[derive(ToSchema)]
    enum StepState {
        /// Nothing was done.
        NotDone = "not_done",
        /// The gateway's answer is awaited.
        UnderWay = "under_way",
        /// It was refused.
        Failed = "failed",
        /// It is done.
        Done = "done",
        /// It is being compensated.
        BeingUndone = "being_undone",
        /// Its compensation failed after it was approved.
        RefundFailed = "refund_failed",
        /// It is compensated.
        Undone = "undone",
        /// It could not be compensated: the provider owes what was paid.
        Owed = "owed",
    }
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
    kind: Kind,
    debit: String,
    credit: String,
    #[schema(value_type = Money)]
    amount: String,
    weight: Weight,
    ends_pending: Option<String>,
    reverses: Option<String>,
    #[schema(value_type = Time)]
    booked_at: String,
}

#[derive(Serialize, ToSchema)]
struct OperatorActionResponse {
    act: ActionKind,
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
        let state = stored.state();
        let reason = stored.saga.reason();
        let StoredSaga {
            saga,
            revision,
            stuck_reason,
            last_answer,
            worker,
            next_attempt_at_us,
            started_at_us,
            updated_at_us,
            ..
        } = stored;
        let refund_attempts_without_answer = saga.attempts.refund;
        Self {
            state,
            amount: Cents(saga.amount_cents).to_string(),
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
            last_answer,
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
            amount: Cents(row.amount_cents).to_string(),
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

fn reserve_state(reservation: Reservation) -> StepState {
    match reservation {
        Reservation::None => StepState::NotDone,
        Reservation::Refused => StepState::Failed,
        Reservation::Pending | Reservation::Posted => StepState::Done,
        Reservation::Released | Reservation::Reversed => StepState::Undone,
    }
}

fn disburse_state(disbursement: Disbursement) -> StepState {
    match disbursement {
        Disbursement::None => StepState::NotDone,
        Disbursement::Intended => StepState::UnderWay,
        Disbursement::Declined => StepState::Failed,
        Disbursement::Paid { .. } => StepState::Done,
        Disbursement::RefundIntended { .. } => StepState::BeingUndone,
        Disbursement::RefundFailed { .. } => StepState::RefundFailed,
        Disbursement::Refunded | Disbursement::Returned => StepState::Undone,
        Disbursement::Owed { .. } => StepState::Owed,
    }
}

fn post_state(reservation: Reservation) -> StepState {
    match reservation {
        Reservation::Posted => StepState::Done,
        Reservation::Reversed => StepState::Undone,
        Reservation::None | Reservation::Refused | Reservation::Pending | Reservation::Released => StepState::NotDone,
    }
}
