//! `POST /payments` pays, once a key; `GET /payments?reference=` looks payments up.

use super::answers;
use super::gate::Gate;
use super::input::{Input, reference_of_query};
use super::lost::lose_answer;
use crate::db;
use crate::domain::answer::PaymentAnswer;
use crate::domain::book::{Kind, KnownPayment};
use crate::domain::request::{CURRENCY, PaymentRequest};
use crate::settings::WebhookSettings;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use service_runtime::http_server::{HttpSettings, read_body};
use service_runtime::problem::Problem;

/// Why a payment is declined.
const DECLINE_CODE: &str = "insufficient_funds";

pub(super) async fn pay(
    request: HttpRequest,
    payload: Payload,
    gate: Data<Gate>,
    settings: Data<HttpSettings>,
    webhook: Data<WebhookSettings>,
) -> Result<HttpResponse, Problem> {
    let returned_after_us = webhook.returned_after_us();
    let wish = read(&request, &read_body(payload, &settings).await?)?;
    let reference = wish.reference.clone();
    let answer = gate
        .run_for_payer(move |database| {
            database.write(|connection| db::payments::pay(connection, &wish, returned_after_us))
        })
        .await?;
    metrics::counter!("gateway_payment_requests_total", "answer" => answer.name()).increment(1);
    tracing::info!(%reference, answer = answer.name(), "a payment was asked for");
    match answer {
        PaymentAnswer::Approved { payment_id, paid_cents } => Ok(HttpResponse::Ok().json(json!({
            "status": "approved",
            "payment_id": payment_id,
            "reference": reference.as_str(),
            "amount_cents": paid_cents,
            "currency": CURRENCY,
        }))),
        PaymentAnswer::Declined => Ok(HttpResponse::PaymentRequired().json(json!({
            "status": "declined",
            "code": DECLINE_CODE,
            "reference": reference.as_str(),
        }))),
        PaymentAnswer::KeyReused => Err(answers::key_reused()),
        PaymentAnswer::PutOff => Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests",
            "the gateway takes no payment just now: send the same request again",
        )
        .retry_after(answers::COME_AGAIN_AFTER_S)),
        PaymentAnswer::Lost => Ok(lose_answer()),
    }
}

fn read(request: &HttpRequest, body: &[u8]) -> Result<PaymentRequest, Problem> {
    let mut input = Input::from_body(body)?;
    let key = input.key(request);
    let reference = input.reference();
    let amount = input.amount();
    input.check_currency();
    let payee = input.payee();
    match (key, reference, amount, payee) {
        (Some(key), Some(reference), Some(amount), Some(payee)) if !input.is_refused() => {
            Ok(PaymentRequest { key, reference, amount, payee })
        }
        _ => Err(input.refuse()),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ByReference {
    pub(super) reference: Option<String>,
}

pub(super) async fn look_up(query: Query<ByReference>, gate: Data<Gate>) -> Result<HttpResponse, Problem> {
    let reference = reference_of_query(query.reference.as_deref())?;
    let payments =
        gate.run_for_payer(move |database| database.read(|c| db::payments::look_up(c, reference.as_str()))).await?;
    let payments: Vec<Value> = payments.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(json!({ "payments": payments })))
}

fn shown(payment: &KnownPayment) -> Value {
    let mut shown = json!({
        "payment_id": payment.payment_id,
        "reference": payment.reference,
        "idempotency_key": payment.idempotency_key,
        "status": if payment.payment_id.is_some() { "approved" } else { "declined" },
        "amount_cents": payment.amount_cents,
        "refunded": payment.money_back == Some(Kind::Refund),
        "returned": payment.money_back == Some(Kind::Return),
    });
    if payment.payment_id.is_none() {
        shown["code"] = DECLINE_CODE.into();
    }
    shown
}
