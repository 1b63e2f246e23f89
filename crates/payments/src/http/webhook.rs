//! `POST /v1/webhooks/gateway`: the gateway reports that a payment was returned, or that a refund failed. The gateway's adapter
//! verifies and reads it; the document shows the dialect `keyed_json`. The gateway repeats what is not answered with 2xx, so that
//! whatever concerns a payment and cannot be kept is refused, and whatever does not concern us is not.

use crate::executor::Executor;
use crate::executor::returns::ReturnOutcome;
use crate::gateway::keyed_json::WebhookEvent;
use crate::gateway::{Dispatcher, Gateway, Notice, Report, WebhookError, WebhookRequest};
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
    /// `applied`; `kept` until the payment it is about is known, or an operator resolves it; `repeated`, or `ignored`.
    #[schema(examples("applied"))]
    status: &'static str,
}

/// An event of the gateway.
///
/// A payment was returned, in whole or in part, or a refund failed that was approved before. Signed by the gateway under the
/// secret of the setting `gateway.webhook_secret`, or of `gateway.webhook_secret_previous`. Events of other types are counted
/// and ignored.
#[utoipa::path(post, path = "/v1/webhooks/gateway", tag = "gateway", operation_id = "gateway_webhook",
    params(("Gateway-Signature" = String, Header, example = "t=1764100000,v1=00",
        description = "`t=<unix seconds>,v1=<hex>[,v1=<hex>]`, in one header or in several: the HMAC-SHA256 of \
            `<unix seconds>.<body>`. Any that fits counts.")),
    request_body(content = WebhookEvent, example = json!({"id": "evt-1", "type": "payment.returned",
        "reference": "4fXk0aV1StGXR8Z5jdHi6B", "amount_cents": 11685, "currency": "USD"})),
    responses(
        (status = 200, description = "It was delivered before, or is of a type that does not concern us.", body = Taken),
        (status = 202, description = "It is applied, or kept until its payment is known or an operator resolves it.",
            body = Taken),
        (status = 400, description = "It is no event of the gateway."),
        (status = 401, description = "The signature is missing, wrong or old."),
        (status = 413, description = "It is longer than `gateway.max_webhook_bytes`."),
        (status = 422, description = "It concerns a payment, in a currency or an amount that cannot be placed."),
        (status = 503, description = "It cannot be kept just now, or no secret is set. `Retry-After` says when to send it again.")))]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    webhooks: web::Data<Webhooks>,
    database: web::Data<DatabaseGate>,
    executor: web::Data<Executor>,
    dispatcher: web::Data<Dispatcher>,
) -> Result<HttpResponse, Problem> {
    let body = read_body(payload, &webhooks.http).await.map_err(|problem| refused("unreadable", problem))?;
    let header = |name: &str| -> Vec<String> {
        request.headers().get_all(name).filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect()
    };
    let now_s = jiff::Timestamp::now().as_second();
    let notice = webhooks.gateway.read_webhook(&WebhookRequest { header: &header, body: &body, now_s });
    let (event_id, reference, amount_cents, report) = match notice.map_err(problem)? {
        Notice::NoConcern(kind) => return Ok(taken(kind, "ignored", StatusCode::OK)),
        Notice::Concerns { event_id, reference, amount_cents, report } => (event_id, reference, amount_cents, report),
    };
    let kind = match report {
        Report::PaymentReturned => "payment.returned",
        Report::RefundFailed { .. } => "refund.failed",
    };
    let applied = database.run(move |_| executor.apply_report(&event_id, &reference, amount_cents, report)).await;
    let (outcome, calls) = applied.map_err(|_| {
        let why = "the event cannot be kept just now: send it again";
        refused("not_kept", Problem::unavailable(why, RETRY_AFTER_S))
    })?;
    dispatcher.dispatch(calls);
    Ok(match outcome {
        ReturnOutcome::Applied => taken(kind, "applied", StatusCode::ACCEPTED),
        ReturnOutcome::Kept => taken(kind, "kept", StatusCode::ACCEPTED),
        ReturnOutcome::Repeated => taken(kind, "repeated", StatusCode::OK),
    })
}

/// Answers an event with 2xx, and counts it by its type: one of a bounded number.
fn taken(kind: &'static str, status: &'static str, code: StatusCode) -> HttpResponse {
    metrics::counter!("webhooks_taken_total", "type" => kind, "status" => status).increment(1);
    HttpResponse::build(code).json(Taken { status })
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
        WebhookError::NotUnderstood(why) => {
            // What the gateway did to a payment is not in our books until an operator looks.
            metrics::counter!("payment_alarms_total").increment(1);
            tracing::error!("a webhook concerns a payment and cannot be placed: {why}");
            refused(
                "not_placed",
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "event-not-placed", "The event cannot be placed", why),
            )
        }
    }
}

fn refused(reason: &'static str, problem: Problem) -> Problem {
    metrics::counter!("webhooks_refused_total", "reason" => reason).increment(1);
    problem
}
