//! `POST /v1/payments/{claim_id}/retry` and `/force`: what an operator does about a payment that does not get on. Each needs
//! a reason, and is shown with the payment for ever.

use super::operator::{ForceBody, OperatorAct, Operators, Reason, ReasonedBody};
use super::payment::{self, PaymentAnswer, no_payment};
use crate::executor::Executor;
use crate::executor::operator::{Act, Acted, By};
use crate::gateway::Dispatcher;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem::Problem;

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
    operators: web::Data<Operators>,
    database: web::Data<DatabaseGate>,
    executor: web::Data<Executor>,
    dispatcher: web::Data<Dispatcher>,
) -> Result<HttpResponse, Problem> {
    let said = operators.read(&request, payload, Reason::Required).await?;
    let claim_id = claim_id.into_inner();
    act(&claim_id, Act::Retry, said, &database, executor, &dispatcher).await?;
    Ok(HttpResponse::Accepted().json(payment::find(&database, claim_id).await?))
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
    operators: web::Data<Operators>,
    database: web::Data<DatabaseGate>,
    executor: web::Data<Executor>,
    dispatcher: web::Data<Dispatcher>,
) -> Result<HttpResponse, Problem> {
    let said = operators.read_forcing(&request, payload, Reason::Required).await?;
    let claim_id = claim_id.into_inner();
    act(&claim_id, Act::Force(said.answer), said, &database, executor, &dispatcher).await?;
    Ok(HttpResponse::Ok().json(payment::find(&database, claim_id).await?))
}

async fn act(
    claim_id: &str,
    act: Act,
    said: OperatorAct,
    database: &DatabaseGate,
    executor: web::Data<Executor>,
    dispatcher: &Dispatcher,
) -> Result<(), Problem> {
    let by = By { reason: said.reason.unwrap_or_default(), operator: said.operator, client: said.client };
    let id = claim_id.to_owned();
    match database.run(move |_| executor.act(&id, act, &by)).await? {
        Acted::Done(calls) => {
            dispatcher.dispatch(calls);
            Ok(())
        }
        Acted::NoPayment => Err(no_payment()),
        Acted::Refused { state, why } => {
            Err(Problem::new(StatusCode::CONFLICT, "wrong-state", "The payment stands where this cannot be done", why)
                .with("state", state))
        }
    }
}
