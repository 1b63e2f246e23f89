//! `POST /v1/payments/{claim_id}/retry` and `/force`: what an operator does about a payment that does not get on. Each action
//! needs a reason, and is shown with the payment for ever.

use super::payment::{self, PaymentAnswer, no_payment};
use crate::domain::saga::Forced;
use crate::executor::Executor;
use crate::executor::operator::{Action, ActionOutcome, Actor};
use crate::gateway::Dispatcher;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use operator_api::{ActionBody, Finding, OperatorAction, Operators, ReasonedBody};
use serde::Deserialize;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// What operators' actions on payments need, as application data.
#[derive(Debug, Clone)]
pub struct PaymentOperations {
    /// Reads the actions of operators.
    pub operators: Operators,
    /// The database.
    pub database: DatabaseGate,
    /// Writes what is done.
    pub executor: Executor,
    /// Makes the calls that come of it.
    pub dispatcher: Dispatcher,
}

/// The body of an action that forces a payment.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForceBody {
    /// Why it is done. It is kept and shown with what was acted on.
    #[schema(required, value_type = String, min_length = 1, max_length = 500, examples("the gateway's help desk said so"))]
    reason: Option<String>,
    /// Who does it.
    #[schema(max_length = 100, examples("A. Smith"))]
    operator: Option<String>,
    /// What the gateway would answer: paid, declined, refunded, returned; or owed, where it was paid and the gateway will not
    /// give it back, so that the provider owes it. Which of these are possible depends on what the payment waits for.
    #[schema(required, value_type = Forced)]
    answer: Option<String>,
}

impl ActionBody for ForceBody {
    const FORM: &str =
        r#"{"reason": "why it is done", "operator": "who does it", "answer": "what the gateway would answer"}"#;

    fn reason_and_operator(&self) -> (Option<&str>, Option<&str>) {
        (self.reason.as_deref(), self.operator.as_deref())
    }

    fn own_findings(&self) -> Vec<Finding> {
        let is_unknown = self.answer.as_deref().is_some_and(|answer| answer.parse::<Forced>().is_err());
        is_unknown.then(|| answer_finding("unknown", &Forced::ALL)).into_iter().collect()
    }
}

fn answer_finding(code: &'static str, possible: &[Forced]) -> Finding {
    Finding { field: "answer", code, message: format!("must be one of {}", Forced::names(possible)) }
}

/// Try a payment again, now.
///
/// Its pause ends, and its tries are counted from zero: a stuck payment is not stuck any more until they run out again.
#[utoipa::path(post, path = "/v1/payments/{claim_id}/retry", tag = "payments", operation_id = "retry_payment",
    params(("claim_id" = String, Path, description = "The claim's id.", example = "stuck0000000000000retry")),
    request_body(content = ReasonedBody, example = json!({"reason": "the gateway is back", "operator": "A. Smith"})),
    responses(
        (status = 202, description = "It is being tried.", body = PaymentAnswer),
        (status = 404, description = "There is no payment for a claim with this id."),
        (status = 409, description = "There is nothing to try: `state` is that of the payment."),
        (status = 422, description = "The reason is missing, or it or the operator is too long; `errors` names the field.")))]
pub(super) async fn retry(
    request: HttpRequest,
    claim_id: web::Path<String>,
    payload: web::Payload,
    operations: web::Data<PaymentOperations>,
) -> Result<HttpResponse, Problem> {
    let (sent, ReasonedBody { .. }) = operations.operators.read(&request, payload).await?;
    Ok(HttpResponse::Accepted().json(operations.act(claim_id.into_inner(), Action::Retry, sent).await?))
}

/// Answer in the gateway's stead for a stuck payment.
///
/// The payment goes on as if the gateway had given this answer; the operator is responsible for its truth. It is possible
/// while the payment is stuck, and after a retry of a stuck payment between its calls, until it gets its answer.
#[utoipa::path(post, path = "/v1/payments/{claim_id}/force", tag = "payments", operation_id = "force_payment",
    params(("claim_id" = String, Path, description = "The claim's id.", example = "stuck0000000000000force")),
    request_body(content = ForceBody, example = json!({"reason": "the gateway's help desk said so", "operator": "A. Smith",
        "answer": "declined"})),
    responses(
        (status = 200, description = "The payment went on.", body = PaymentAnswer),
        (status = 404, description = "There is no payment for a claim with this id."),
        (status = 409, description = "It cannot be forced now, or not by this answer: `state` is that of the payment, and \
            `detail` names the answers that are possible."),
        (status = 422, description = "The reason or the answer is missing, a field is too long or the answer is unknown; \
            `errors` names the field, and of a missing answer those that are possible for this payment now.")))]
pub(super) async fn force(
    request: HttpRequest,
    claim_id: web::Path<String>,
    payload: web::Payload,
    operations: web::Data<PaymentOperations>,
) -> Result<HttpResponse, Problem> {
    let (sent, body) = operations.operators.read::<ForceBody>(&request, payload).await?;
    let answer = body.answer.as_deref().and_then(|answer| answer.parse().ok());
    Ok(HttpResponse::Ok().json(operations.act(claim_id.into_inner(), Action::Force(answer), sent).await?))
}

impl PaymentOperations {
    /// Applies the action, and returns the payment as it stands then.
    async fn act(&self, claim_id: String, action: Action, sent: OperatorAction) -> Result<PaymentAnswer, Problem> {
        payment::may_be_there(&claim_id)?;
        let OperatorAction { reason, operator, client } = sent;
        let actor = Actor { reason, operator, client };
        let (executor, id) = (self.executor.clone(), claim_id.clone());
        match self.database.run(move |_| executor.act(&id, action, &actor)).await? {
            ActionOutcome::Done(calls) => self.dispatcher.dispatch(calls),
            ActionOutcome::NoPayment => return Err(no_payment()),
            ActionOutcome::Refused { state, why } => {
                let title = "The payment stands where this cannot be done";
                return Err(Problem::new(StatusCode::CONFLICT, "wrong-state", title, why).with("state", state.as_str()));
            }
            ActionOutcome::AnswerMissing(possible) => {
                return Err(operator_api::refused(&[answer_finding("required", possible)]));
            }
        }
        payment::find(&self.database, claim_id).await
    }
}
