//! `POST /v1/webhooks/gateway`: the gateway tells that a payment came back.
//!
//! The header `Gateway-Signature: t=<unix seconds>,v1=<hex>` must hold the HMAC-SHA256 (RFC 2104) of `<unix seconds>.<body>`
//! under the secret of the setting `gateway.webhook_secret`, and its time must be near. Whatever is not answered with 2xx
//! comes again.

use super::Webhooks;
use crate::domain::ledger::{MOST_CENTS, is_amount};
use crate::executor::Executor;
use crate::executor::returns::ReturnOutcome;
use crate::gateway::Dispatcher;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hmac::{Hmac, Mac};
use secrets::Secret;
use serde::{Deserialize, Serialize};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::http_server::read_body;
use service_runtime::problem::Problem;
use sha2::Sha256;
use utoipa::ToSchema;

const SIGNATURE_HEADER: &str = "gateway-signature";
/// The longest id of an event, and the longest reference, in characters.
const LONGEST_NAME: usize = 200;
/// When a gateway that cannot be heard just now should come again, in seconds.
const RETRY_AFTER_S: u64 = 5;

#[derive(Deserialize, ToSchema)]
#[schema(as = GatewayEvent)]
pub(super) struct Event {
    /// The event's own id, by which a repeat is known.
    id: String,
    #[serde(rename = "type")]
    #[schema(examples("payment.returned"))]
    kind: String,
    reference: String,
    amount_cents: i64,
    currency: String,
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
    request_body(content = Event, example = json!({"id": "evt-1", "type": "payment.returned",
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
    if webhooks.secret.is_empty() {
        return Err(refused("no_secret", Problem::unavailable("no webhooks are taken here", RETRY_AFTER_S)));
    }
    let body = read_body(payload, &webhooks.http).await.map_err(|problem| refused("unreadable", problem))?;
    let now_s = jiff::Timestamp::now().as_second();
    let signature = request.headers().get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    check(signature, &body, &webhooks.secret, now_s, webhooks.tolerance_s).map_err(|(reason, why)| {
        refused(reason, Problem::new(StatusCode::UNAUTHORIZED, "signature", "The signature is not accepted", why))
    })?;
    let event: Event = serde_json::from_slice(&body)
        .map_err(|_| refused("malformed", Problem::malformed("the body is not an event as the gateway tells them")))?;
    if !is_a_name(&event.id) || !is_a_name(&event.reference) {
        let why = format!("id and reference must have 1 to {LONGEST_NAME} printable characters");
        return Err(refused("malformed", Problem::malformed(why)));
    }
    if event.kind != "payment.returned" || event.currency != "USD" || !is_amount(event.amount_cents) {
        let why = format!("only payment.returned is understood, with an amount of 1 to {MOST_CENTS} cents in USD");
        let problem =
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-event", "The event is not understood", why);
        return Err(refused("unknown_event", problem));
    }
    let (told, calls) = database
        .run(move |_| executor.apply_return(&event.id, &event.reference, event.amount_cents))
        .await
        .map_err(|_| {
            let why = "the event cannot be kept just now: tell it again";
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
                "told-before",
                "The event was delivered before",
                "an event with this id is stored already: it need not be sent again",
            ),
        )),
    }
}

/// Whether a text can name something: what is empty, endless or unprintable is told to nobody's use.
fn is_a_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn refused(reason: &'static str, problem: Problem) -> Problem {
    metrics::counter!("webhooks_refused_total", "reason" => reason).increment(1);
    problem
}

/// Whether a signature is the gateway's, and of this time; otherwise a word for metrics and a sentence for its sender.
fn check(
    signature: &str,
    body: &[u8],
    secret: &Secret,
    now_s: i64,
    tolerance_s: i64,
) -> Result<(), (&'static str, &'static str)> {
    let part = |name: &str| signature.split(',').find_map(|part| part.trim().strip_prefix(name));
    let malformed = ("no_signature", "the header Gateway-Signature must be t=<unix seconds>,v1=<hex>");
    let time = part("t=").ok_or(malformed)?;
    let at_s: i64 = time.parse().map_err(|_| malformed)?;
    let mac = part("v1=").and_then(from_hex).ok_or(malformed)?;
    let mut expected = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).map_err(|_| malformed)?;
    expected.update(time.as_bytes());
    expected.update(b".");
    expected.update(body);
    expected
        .verify_slice(&mac)
        .map_err(|_| ("wrong_signature", "the signature does not fit the body and the secret"))?;
    if now_s.saturating_sub(at_s).saturating_abs() > tolerance_s {
        return Err(("old", "the signature's time is too far from now: sign it anew, and check both clocks"));
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1.{}' | openssl dgst -sha256 -hmac secret`.
    const SIGNED: &str = "t=1,v1=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908";

    #[test]
    fn only_the_gateways_own_words_of_this_time_are_taken() {
        let check = |signature: &str, body: &str, secret: &str, now_s| {
            check(signature, body.as_bytes(), &secret.into(), now_s, 300).map_err(|(reason, _)| reason)
        };
        assert_eq!(check(SIGNED, "{}", "secret", 1), Ok(()));
        assert_eq!(check(SIGNED, "{}", "secret", 301), Ok(()));
        assert_eq!(check(SIGNED, "{}", "secret", 302), Err("old"));
        assert_eq!(check(SIGNED, "{}", "secret", -300), Err("old"));
        assert_eq!(check(SIGNED, "{ }", "secret", 1), Err("wrong_signature"));
        assert_eq!(check(SIGNED, "{}", "another", 1), Err("wrong_signature"));
        assert_eq!(check(&SIGNED.replace("t=1", "t=2"), "{}", "secret", 1), Err("wrong_signature"));
        for signature in ["", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=0", "t=1,v1=zz"] {
            assert_eq!(check(signature, "{}", "secret", 1), Err("no_signature"), "{signature}");
        }
        assert_eq!(check("t=1,v1=", "{}", "secret", 1), Err("wrong_signature"));
    }
}
