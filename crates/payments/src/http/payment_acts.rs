//! `POST /v1/payments/{claim_id}/retry` and `/force`: what an operator does about a payment that does not get on. Each needs
//! a reason, and is shown with the payment for ever.

use super::payment::{self, PaymentAnswer, no_payment};
use crate::domain::saga::Forced;
use crate::executor::Executor;
use crate::executor::operator::{Action, ActionOutcome, Actor};
use crate::gateway::Dispatcher;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use operator_api::{OperatorAction, Operators, Reason, ReasonedBody};
use serde::Deserialize;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// What acts on payments need, as application data.
#[derive(Debug, Clone)]
pub struct PaymentOperations {
    /// Reads what an operator says.
    pub operators: Operators,
    /// The database.
    pub database: DatabaseGate,
    /// Writes what is done.
    pub executor: Executor,
    /// Makes the calls that come of it.
    pub dispatcher: Dispatcher,
}

/// The body of an act that forces a payment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands in the document for what `Operators` reads")]
pub(super) struct ForceBody {
    /// Why it is done. It is kept and shown with what was acted on.
    #[schema(min_length = 1, max_length = 500, examples("the gateway's help desk said so"))]
    reason: String,
    /// Who does it.
    #[schema(max_length = 100, examples("A. Smith"))]
    operator: Option<String>,
    /// What the gateway would say of the payment: paid, declined, refunded, returned; or owed, where it was paid and cannot be
    /// had back through the gateway, so that the provider owes it. Where a payment cannot be taken back, owed is meant if
    /// nothing is said.
    #[schema(examples("refunded"))]
    answer: Option<String>,
}

/// Try a payment again, now.
///
/// Its pause ends, and its tries are counted anew: a stuck payment is not stuck any more until they run out again.
#[utoipa::path(post, path = "/v1/payments/{claim_id}/retry", tag = "payments", operation_id = "retry_payment",
    params(("claim_id" = String, Path, description = "The claim's id.", example = "stuck0000000000000retry")),
    request_body(content = ReasonedBody, example = json!({"reason": "the gateway is back", "operator": "A. Smith"})),
    responses(
        (status = 202, description = "It is being tried.", body = PaymentAnswer),
        (status = 404, description = "There is no payment for a claim with this id."),
        (status = 409, description = "Nothing can be tried: `state` says where the payment stands."),
        (status = 422, description = "The reason is missing, or it or the operator is too long; `errors` says which.")))]
pub(super) async fn retry(
    request: HttpRequest,
    claim_id: web::Path<String>,
    payload: web::Payload,
    desk: web::Data<PaymentOperations>,
) -> Result<HttpResponse, Problem> {
    let said = desk.operators.read(&request, payload, Reason::Required).await?;
    Ok(HttpResponse::Accepted().json(desk.act(claim_id.into_inner(), Action::Retry, said).await?))
}

/// Say what the gateway does not say of a stuck payment.
///
/// The payment goes on as if the gateway had answered so, and whoever says it answers for it: the gateway is not asked.
#[utoipa::path(post, path = "/v1/payments/{claim_id}/force", tag = "payments", operation_id = "force_payment",
    params(("claim_id" = String, Path, description = "The claim's id.", example = "stuck0000000000000force")),
    request_body(content = ForceBody, example = json!({"reason": "the gateway's help desk said so", "operator": "A. Smith",
        "answer": "declined"})),
    responses(
        (status = 200, description = "It went on.", body = PaymentAnswer),
        (status = 404, description = "There is no payment for a claim with this id."),
        (status = 409, description = "It is not stuck, or does not wait for that answer: `state` says where it stands, and \
            `detail` what can be said."),
        (status = 422, description = "The reason is missing, a field is too long or the answer is none that there is; `errors` \
            says which.")))]
pub(super) async fn force(
    request: HttpRequest,
    claim_id: web::Path<String>,
    payload: web::Payload,
    desk: web::Data<PaymentOperations>,
) -> Result<HttpResponse, Problem> {
    let answers = Forced::ALL.map(|answer| (answer.name(), answer));
    let (said, answer) = desk.operators.read_with_answer(&request, payload, Reason::Required, &answers).await?;
    Ok(HttpResponse::Ok().json(desk.act(claim_id.into_inner(), Action::Force(answer), said).await?))
}

impl PaymentOperations {
    /// Does it, and says how the payment stands then.
    async fn act(&self, claim_id: String, act: Action, said: OperatorAction) -> Result<PaymentAnswer, Problem> {
        payment::may_be_there(&claim_id)?;
        let by = Actor { reason: said.reason.unwrap_or_default(), operator: said.operator, client: said.client };
        let (executor, id) = (self.executor.clone(), claim_id.clone());
        match self.database.run(move |_| executor.act(&id, act, &by)).await? {
            ActionOutcome::Done(calls) => self.dispatcher.dispatch(calls),
            ActionOutcome::NoPayment => return Err(no_payment()),
            ActionOutcome::Refused { state, why } => {
                let title = "The payment stands where this cannot be done";
                return Err(Problem::new(StatusCode::CONFLICT, "wrong-state", title, why).with("state", state));
            }
        }
        payment::find(&self.database, claim_id).await
    }
}
