//! `POST /payments` pays, at most once for each key; `GET /payments?reference=` looks payments up.

use super::broken_responses::lose_response;
use super::faulty::{self, LookUpCounts};
use super::gate::Gate;
use super::input::{Input, PayerKey, reference_of_query};
use super::problems;
use crate::db;
use crate::domain::book::{Kind, KnownPayment};
use crate::domain::faults::Operation;
use crate::domain::request::{CURRENCY, PaymentRequest, Reference};
use crate::domain::response::PaymentResponse;
use crate::domain::rules::Rules;
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use service_runtime::http_server::{HttpSettings, read_body};
use service_runtime::problem::Problem;

/// The code of every decline.
const DECLINE_CODE: &str = "insufficient_funds";

pub(super) async fn pay(
    request: HttpRequest,
    payload: Payload,
    gate: Data<Gate>,
    settings: Data<HttpSettings>,
    payer_key: Data<PayerKey>,
) -> Result<HttpResponse, Problem> {
    payer_key.check(&request)?;
    let payment = read(&request, &read_body(payload, &settings).await?)?;
    let reference = payment.reference.clone();
    let outcome = gate.pay(payment).await?;
    faulty::respond(outcome, |response| render(&response, &reference))
}

fn render(response: &PaymentResponse, reference: &Reference) -> Result<HttpResponse, Problem> {
    metrics::counter!("gateway_payment_requests_total", "answer" => response.name()).increment(1);
    tracing::debug!(%reference, answer = response.name(), "payment requested");
    match response {
        PaymentResponse::Approved { payment_id, paid_cents, created } => {
            let mut status = if *created { HttpResponse::Created() } else { HttpResponse::Ok() };
            Ok(status.json(json!({
                "status": "approved",
                "payment_id": payment_id,
                "reference": reference.as_str(),
                "amount_cents": paid_cents,
                "currency": CURRENCY,
            })))
        }
        PaymentResponse::Pending => Ok(HttpResponse::Accepted().json(json!({
            "status": "pending",
            "reference": reference.as_str(),
        }))),
        PaymentResponse::InProgress => Err(problems::in_progress()),
        PaymentResponse::ServerError => Err(Problem::internal()),
        PaymentResponse::Declined => Ok(HttpResponse::PaymentRequired().json(json!({
            "status": "declined",
            "code": DECLINE_CODE,
            "reference": reference.as_str(),
        }))),
        PaymentResponse::KeyReused => Err(problems::key_reused()),
        PaymentResponse::Throttled => Err(faulty::too_many()),
        PaymentResponse::Lost => Ok(lose_response()),
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
    request: HttpRequest,
    query: Query<ByReference>,
    gate: Data<Gate>,
    rules: Data<Rules>,
    look_up_counts: Data<LookUpCounts>,
    payer_key: Data<PayerKey>,
) -> Result<HttpResponse, Problem> {
    payer_key.check(&request)?;
    let reference = reference_of_query(query.reference.as_deref())?;
    let attempt = look_up_counts.count(reference.as_str());
    let outcome = gate
        .run_for_payer(move |database| {
            let look_up = || {
                let reference = reference.as_str();
                if database.read(|c| db::payments::has_pended(c, reference))? {
                    database.write(|c| db::payments::decide_pended(c, reference, &rules))?;
                }
                database.read(|c| db::payments::look_up(c, reference))
            };
            rules.faults.inject(Operation::LookUp, reference.as_str(), attempt, look_up)
        })
        .await?;
    faulty::respond(outcome, |payments| {
        let payments: Vec<Value> = payments.iter().map(shown).collect();
        Ok(HttpResponse::Ok().json(json!({ "payments": payments })))
    })
}

fn shown(payment: &KnownPayment) -> Value {
    let status = match payment.payment_id {
        _ if payment.is_pending => "pending",
        Some(_) => "approved",
        None => "declined",
    };
    let mut shown = json!({
        "payment_id": payment.payment_id,
        "reference": payment.reference,
        "idempotency_key": payment.idempotency_key,
        "status": status,
        "amount_cents": payment.amount_cents,
        "currency": CURRENCY,
        "refunded": payment.money_back == Some(Kind::Refund),
        "returned": payment.money_back == Some(Kind::Return),
    });
    if status == "declined" {
        shown["code"] = DECLINE_CODE.into();
    }
    shown
}
