//! `POST /v1/webhooks/gateway`: the gateway reports that a payment was returned. The gateway's adapter verifies and reads it;
//! the document shows the dialect `keyed_json`. The gateway repeats what is not answered with 2xx.

use crate::executor::Executor;
use crate::executor::returns::ReturnOutcome;
use crate::gateway::keyed_json::WebhookEvent;
use crate::gateway::{Dispatcher, Gateway, Notice, WebhookError, WebhookRequest};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::http_server::{HttpSettings, read_body};
use service_runtime::problem::Problem;
use std::sync::Arc;
use utoipa::ToSchema;

/// When a gateway whose webhook cannot be stored just now should send it again, in seconds.
const RETRY_AFTER_S: u64 = 5;

/// What taking a webhook needs.
#[derive(Clone)]
pub struct Webhooks {
    /// The adapter that verifies and reads it.
    pub gateway: Arc<dyn Gateway>,
    /// The limits of a body.
    pub http: HttpSettings,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").field("http", &self.http).finish_non_exhaustive()
    }
}

/// What became of an event of the gateway.
#[derive(Serialize, ToSchema)]
pub(super) struct Taken {
    /// `applied`, or `kept` until the payment it is about is known.
    #[schema(examples("applied"))]
    status: &'static str,
}

/// An event of the gateway.
///
/// A payment was returned. Signed by the gateway under the secret of the setting `gateway.webhook_secret`.
#[utoipa::path(post, path = "/v1/webhooks/gateway", tag = "gateway", operation_id = "gateway_webhook",
    params(("Gateway-Signature" = String, Header, example = "t=1764100000,v1=00",
        description = "`t=<unix seconds>,v1=<hex>`: the HMAC-SHA256 of `<unix seconds>.<body>`.")),
    request_body(content = WebhookEvent, example = json!({"id": "evt-1", "type": "payment.returned",
        "reference": "4fXk0aV1StGXR8Z5jdHi6B", "amount_cents": 11685, "currency": "USD"})),
    responses(
        (status = 200, description = "It is applied.", body = Taken),
        (status = 202, description = "It is kept until its payment is known.", body = Taken),
        (status = 401, description = "The signature is missing, wrong or old."),
        (status = 409, description = "It was delivered before."),
        (status = 422, description = "Its type is unknown.")))]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    webhooks: web::Data<Webhooks>,
    database: web::Data<DatabaseGate>,
    executor: web::Data<Executor>,
    dispatcher: web::Data<Dispatcher>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(payload, &webhooks.http).await.map_err(|problem| refused("unreadable", problem))?;
    let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
    let now_s = jiff::Timestamp::now().as_second();
    let Notice::PaymentReturned { event_id, reference, amount_cents } =
        webhooks.gateway.read_webhook(&WebhookRequest { header: &header, body: &body, now_s }).map_err(problem)?;
    let (told, calls) =
        database.run(move |_| executor.apply_return(&event_id, &reference, amount_cents)).await.map_err(|_| {
            let why = "the event cannot be kept just now: send it again";
            refused("not_kept", Problem::unavailable(why, RETRY_AFTER_S))
        })?;
    dispatcher.dispatch(calls);
    match told {
        ReturnOutcome::Applied => Ok(HttpResponse::Ok().json(Taken { status: "applied" })),
        ReturnOutcome::Kept => Ok(HttpResponse::Accepted().json(Taken { status: "kept" })),
        ReturnOutcome::Repeated => Err(refused(
            "repeated",
            Problem::new(
                StatusCode::CONFLICT,
                "already-delivered",
                "The event was delivered before",
                "an event with this id is stored already: it need not be sent again",
            ),
        )),
    }
}

fn problem(error: WebhookError) -> Problem {
    match error {
        WebhookError::NoSecret => {
            refused("no_secret", Problem::unavailable("no webhooks are taken here", RETRY_AFTER_S))
        }
        WebhookError::NotVerified { reason, why } => {
            refused(reason, Problem::new(StatusCode::UNAUTHORIZED, "signature", "The signature is not accepted", why))
        }
        WebhookError::Malformed(why) => refused("malformed", Problem::malformed(why)),
        WebhookError::NotUnderstood(why) => refused(
            "unknown_event",
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-event", "The event is not understood", why),
        ),
    }
}

fn refused(reason: &'static str, problem: Problem) -> Problem {
    metrics::counter!("webhooks_refused_total", "reason" => reason).increment(1);
    problem
}
