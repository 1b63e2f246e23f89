//! `POST /refunds` pays a payment back, once a payment.

use super::answers;
use super::faulty;
use super::gate::Gate;
use super::input::Input;
use crate::db;
use crate::domain::answer::RefundAnswer;
use crate::domain::request::{Amount, CURRENCY, Reference, RefundRequest};
use crate::domain::rules::Rules;
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
    rules: Data<Rules>,
) -> Result<HttpResponse, Problem> {
    let wish = read(&request, &read_body(payload, &settings).await?)?;
    let (reference, amount) = (wish.reference.clone(), wish.amount);
    let fared = gate
        .run_for_payer(move |database| database.write(|connection| db::refunds::refund(connection, &wish, &rules)))
        .await?;
    faulty::answer(fared, |answer| answered(&answer, &reference, amount))
}

fn answered(answer: &RefundAnswer, reference: &Reference, amount: Amount) -> Result<HttpResponse, Problem> {
    metrics::counter!("gateway_refund_requests_total", "answer" => answer.name()).increment(1);
    tracing::info!(%reference, answer = answer.name(), "a refund was asked for");
    let status = answer.name();
    match answer {
        RefundAnswer::Refunded { refund_id } | RefundAnswer::AlreadyRefunded { refund_id } => Ok(HttpResponse::Ok()
            .json(json!({
                "status": status,
                "refund_id": refund_id,
                "reference": reference.as_str(),
                "amount_cents": amount.cents(),
                "currency": CURRENCY,
            }))),
        RefundAnswer::AlreadyReturned => Ok(HttpResponse::Ok().json(json!({
            "status": status,
            "reference": reference.as_str(),
            "amount_cents": amount.cents(),
            "currency": CURRENCY,
        }))),
        RefundAnswer::NoSuchPayment => Err(Problem::not_found("no payment with this reference was made")),
        RefundAnswer::OtherAmount => Err(answers::invalid(vec![json!({
            "field": "amount_cents",
            "code": "other_amount",
            "message": "must be what was paid: GET /payments?reference= tells it",
        })])),
        RefundAnswer::KeyReused => Err(answers::key_reused()),
        RefundAnswer::Failed => {
            Err(Problem::unavailable("the refund did not go through: send it again", answers::COME_AGAIN_AFTER_S))
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
