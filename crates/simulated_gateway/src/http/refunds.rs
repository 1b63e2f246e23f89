//! `POST /refunds` refunds a payment, once.

use super::faulty;
use super::gate::Gate;
use super::input::{Input, PayerKey};
use super::problems;
use crate::domain::request::{Amount, CURRENCY, Reference, RefundRequest};
use crate::domain::response::RefundResponse;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use service_runtime::http_server::{HttpSettings, read_body};
use service_runtime::problem::Problem;

pub(super) async fn refund(
    request: HttpRequest,
    payload: Payload,
    gate: Data<Gate>,
    settings: Data<HttpSettings>,
    payer_key: Data<PayerKey>,
) -> Result<HttpResponse, Problem> {
    payer_key.check(&request)?;
    let refund = read(&request, &read_body(payload, &settings).await?)?;
    let (reference, amount) = (refund.reference.clone(), refund.amount);
    let outcome = gate.refund(refund).await?;
    faulty::respond(outcome, |response| render(&response, &reference, amount))
}

fn render(response: &RefundResponse, reference: &Reference, amount: Amount) -> Result<HttpResponse, Problem> {
    metrics::counter!("gateway_refund_requests_total", "answer" => response.name()).increment(1);
    tracing::debug!(%reference, answer = response.name(), "refund requested");
    let status = response.name();
    match response {
        RefundResponse::Refunded { refund_id } | RefundResponse::AlreadyRefunded { refund_id } => {
            Ok(HttpResponse::Ok().json(json!({
                "status": status,
                "refund_id": refund_id,
                "reference": reference.as_str(),
                "amount_cents": amount.cents(),
                "currency": CURRENCY,
            })))
        }
        RefundResponse::AlreadyReturned => Ok(HttpResponse::Ok().json(json!({
            "status": status,
            "reference": reference.as_str(),
            "amount_cents": amount.cents(),
            "currency": CURRENCY,
        }))),
        RefundResponse::FailedLater => Ok(HttpResponse::Ok().json(json!({
            "status": "failed",
            "reference": reference.as_str(),
            "amount_cents": amount.cents(),
            "currency": CURRENCY,
        }))),
        RefundResponse::NoSuchPayment => Err(Problem::not_found("no payment with this reference was made")),
        RefundResponse::OtherAmount => Err(problems::invalid(vec![json!({
            "field": "amount_cents",
            "code": "other_amount",
            "message": "must be the paid amount, which GET /payments?reference= returns",
        })])),
        RefundResponse::KeyReused => Err(problems::key_reused()),
        RefundResponse::Failed => {
            Err(Problem::unavailable("the refund failed: send the same request again", problems::RETRY_AFTER_S))
        }
    }
}

fn read(request: &HttpRequest, body: &[u8]) -> Result<RefundRequest, Problem> {
    let mut input = Input::from_body(body)?;
    let key = input.key(request);
    let reference = input.reference();
    let amount = input.amount();
    input.check_currency();
    match (key, reference, amount) {
        (Some(key), Some(reference), Some(amount)) if !input.is_refused() => {
            Ok(RefundRequest { key, reference, amount })
        }
        _ => Err(input.refuse()),
    }
}
