//! `POST /payments` pays, once a key; `GET /payments?reference=` looks payments up.

use super::answers;
use super::broken::lose_answer;
use super::faulty::{self, LookUps};
use super::gate::Gate;
use super::input::{Input, reference_of_query};
use crate::db;
use crate::domain::answer::PaymentAnswer;
use crate::domain::book::{Kind, KnownPayment};
use crate::domain::faults::Asked;
use crate::domain::request::{CURRENCY, PaymentRequest, Reference};
use crate::domain::rules::Rules;
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
    rules: Data<Rules>,
) -> Result<HttpResponse, Problem> {
    let wish = read(&request, &read_body(payload, &settings).await?)?;
    let reference = wish.reference.clone();
    let fared = gate
        .run_for_payer(move |database| database.write(|connection| db::payments::pay(connection, &wish, &rules)))
        .await?;
    faulty::answer(fared, |answer| answered(&answer, &reference))
}

fn answered(answer: &PaymentAnswer, reference: &Reference) -> Result<HttpResponse, Problem> {
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
        PaymentAnswer::PutOff => Err(faulty::too_many()),
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

pub(super) async fn look_up(
    query: Query<ByReference>,
    gate: Data<Gate>,
    rules: Data<Rules>,
    look_ups: Data<LookUps>,
) -> Result<HttpResponse, Problem> {
    let reference = reference_of_query(query.reference.as_deref())?;
    let attempt = look_ups.count(reference.as_str());
    let fared = gate
        .run_for_payer(move |database| {
            let look = || database.read(|c| db::payments::look_up(c, reference.as_str()));
            rules.faults.fare(Asked::LookUp, reference.as_str(), attempt, look)
        })
        .await?;
    faulty::answer(fared, |payments| {
        let payments: Vec<Value> = payments.iter().map(shown).collect();
        Ok(HttpResponse::Ok().json(json!({ "payments": payments })))
    })
}

fn shown(payment: &KnownPayment) -> Value {
    let mut shown = json!({
        "payment_id": payment.payment_id,
        "reference": payment.reference,
        "idempotency_key": payment.idempotency_key,
        "status": if payment.payment_id.is_some() { "approved" } else { "declined" },
        "amount_cents": payment.amount_cents,
        "currency": CURRENCY,
        "refunded": payment.money_back == Some(Kind::Refund),
        "returned": payment.money_back == Some(Kind::Return),
    });
    if payment.payment_id.is_none() {
        shown["code"] = DECLINE_CODE.into();
    }
    shown
}
