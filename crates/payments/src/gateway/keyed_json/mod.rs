//! The dialect `keyed_json`: JSON over HTTP, each request under an `Idempotency-Key`, and webhooks signed in the header
//! `Gateway-Signature`. The simulated gateway speaks it.
//!
//! The adapter decides what counts as a definite answer: only a well-formed one, to this request, in the right currency.
//! Everything else is unknown, and is requested again under the same key.

mod webhook;

use super::{Answering, Gateway, Notice, PayRequest, RefundRequest, Reply, WebhookError, WebhookRequest};
use crate::domain::concurrency::Sign;
use crate::domain::ledger::is_amount;
use crate::domain::saga::{LookUpAnswer, PayAnswer, RefundAnswer};
use crate::settings::GatewaySettings;
use anyhow::Context;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;
use webhook::WebhookReader;

pub(crate) use webhook::Event as WebhookEvent;

const CURRENCY: &str = "USD";
/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The longest pause a gateway may demand.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A gateway that speaks this dialect.
#[derive(Debug, Clone)]
pub struct KeyedJsonGateway {
    client: Client,
    url: String,
    webhooks: WebhookReader,
}

/// The fields of every answer; which are there depends on the status.
#[derive(Debug, Deserialize)]
struct AnswerBody {
    status: String,
    reference: Option<String>,
    amount_cents: Option<i64>,
    currency: Option<String>,
    code: Option<String>,
}

/// The answer to a look-up.
#[derive(Debug, Deserialize)]
struct FoundPayments {
    payments: Vec<FoundPayment>,
}

#[derive(Debug, Deserialize)]
struct FoundPayment {
    reference: String,
    idempotency_key: String,
    status: String,
    amount_cents: i64,
    currency: String,
    refunded: bool,
    returned: bool,
    code: Option<String>,
}

/// An answer that is not definite, when to send the request again, and what it shows of the gateway's load.
struct Indefinite {
    retry_after_ms: Option<u64>,
    sign: Sign,
    /// What an operator must look at, where it is something that a gateway should never answer.
    alarm: Option<&'static str>,
    /// What came, in a few words: the status, or what went wrong.
    what: String,
}

impl KeyedJsonGateway {
    /// The gateway that the settings name.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(settings: &GatewaySettings) -> anyhow::Result<Self> {
        let client = Client::builder()
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .read_timeout(Duration::from_millis(settings.read_timeout_ms))
            .timeout(Duration::from_millis(settings.request_timeout_ms))
            .pool_max_idle_per_host(settings.max_concurrent_calls)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("the gateway's HTTP client could not be made")?;
        let webhooks = WebhookReader {
            secret: settings.webhook_secret.clone(),
            tolerance_s: settings.webhook_tolerance_s.into(),
            currency: CURRENCY,
        };
        Ok(Self { client, url: settings.url.trim_end_matches('/').to_owned(), webhooks })
    }

    async fn post(
        &self,
        path: &str,
        key: &str,
        body: serde_json::Value,
    ) -> Result<(StatusCode, AnswerBody), Indefinite> {
        self.send(self.client.post(format!("{}{path}", self.url)).header("Idempotency-Key", key).json(&body)).await
    }

    /// Sends a request and reads what may be a definite answer.
    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<(StatusCode, T), Indefinite> {
        let sent = request.send().await;
        let response = sent.map_err(|error| broken(&error))?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            metrics::counter!("gateway_indefinite_total", "reason" => "busy").increment(1);
            return Err(Indefinite {
                retry_after_ms: retry_after_ms(&response),
                sign: Sign::Busy,
                alarm: None,
                what: status.as_u16().to_string(),
            });
        }
        if status.is_server_error() {
            return Err(Indefinite { what: status.as_u16().to_string(), ..indefinite("server_error", Sign::Failed) });
        }
        match status {
            StatusCode::NOT_FOUND => return Err(alarming("it knows of no such payment, or takes no such request")),
            StatusCode::CONFLICT => return Err(alarming("it knows the idempotency key from another request")),
            _ => {}
        }
        let whole = read(response).await?;
        let body = serde_json::from_slice(&whole).map_err(|_| alarming("its answer is not the JSON it should be"))?;
        Ok((status, body))
    }

    async fn find(&self, key: &str, reference: &str) -> Result<LookUpAnswer, Indefinite> {
        let request = self.client.get(format!("{}/payments", self.url)).query(&[("reference", reference)]);
        let (status, found): (_, FoundPayments) = self.send(request).await?;
        if status != StatusCode::OK {
            return Err(alarming("its answer to a look-up is not one that it may give"));
        }
        let mut payments = found.payments.into_iter();
        let Some(payment) = payments.next() else { return Ok(LookUpAnswer::NotFound) };
        if payments.next().is_some() || payment.reference != reference || payment.idempotency_key != key {
            return Err(alarming("it knows of another payment under this reference"));
        }
        if payment.currency != CURRENCY {
            return Err(alarming("it answers in another currency"));
        }
        let amount_cents = payment.amount_cents;
        match (payment.status.as_str(), payment.refunded, payment.returned) {
            ("declined", false, false) => {
                Ok(LookUpAnswer::Declined { code: payment.code.unwrap_or_else(|| "declined".to_owned()) })
            }
            ("approved", false, false) if is_amount(amount_cents) => Ok(LookUpAnswer::Paid { amount_cents }),
            ("approved", true, false) if is_amount(amount_cents) => Ok(LookUpAnswer::Refunded { amount_cents }),
            ("approved", false, true) if is_amount(amount_cents) => Ok(LookUpAnswer::Returned { amount_cents }),
            _ => Err(alarming("its answer to a look-up is not one that it may give")),
        }
    }
}

impl AnswerBody {
    /// Whether the answer is to this request, and every amount in it in our currency.
    fn check(&self, reference: &str) -> Result<(), Indefinite> {
        if self.reference.as_deref() != Some(reference) {
            return Err(alarming("it answers for another reference"));
        }
        match (&self.currency, self.amount_cents) {
            (Some(currency), _) if currency != CURRENCY => Err(alarming("it answers in another currency")),
            (None, Some(_)) => Err(alarming("it names an amount without a currency")),
            _ => Ok(()),
        }
    }
}

impl KeyedJsonGateway {
    async fn send_payment(&self, request: PayRequest<'_>) -> Reply<PayAnswer> {
        let body = json!({
            "reference": request.reference,
            "amount_cents": request.amount_cents,
            "currency": CURRENCY,
            "payee": request.payee,
        });
        let answered = self.post("/payments", request.key, body).await;
        let definite = answered.and_then(|(status, answer)| {
            answer.check(request.reference)?;
            match (status, answer.status.as_str(), answer.amount_cents) {
                (StatusCode::OK, "approved", Some(amount_cents)) if is_amount(amount_cents) => {
                    Ok(PayAnswer::Approved { amount_cents })
                }
                (StatusCode::PAYMENT_REQUIRED, "declined", _) => {
                    Ok(PayAnswer::Declined { code: answer.code.unwrap_or_else(|| "declined".to_owned()) })
                }
                _ => Err(alarming("its answer to a payment is not one that it may give")),
            }
        });
        reply(request.reference, definite, |retry_after_ms| PayAnswer::Unknown { retry_after_ms })
    }

    async fn send_refund(&self, request: RefundRequest<'_>) -> Reply<RefundAnswer> {
        let body = json!({"reference": request.reference, "amount_cents": request.amount_cents, "currency": CURRENCY});
        let answered = self.post("/refunds", request.key, body).await;
        let definite = answered.and_then(|(status, answer)| {
            answer.check(request.reference)?;
            if answer.amount_cents.is_some_and(|amount_cents| amount_cents != request.amount_cents) {
                return Err(alarming("it refunded another amount than was requested"));
            }
            match (status, answer.status.as_str()) {
                // Already refunded under another key is the same fact: the money is back, once.
                (StatusCode::OK, "refunded" | "already_refunded") => Ok(RefundAnswer::Refunded),
                (StatusCode::OK, "already_returned") => Ok(RefundAnswer::AlreadyReturned),
                _ => Err(alarming("its answer to a refund is not one that it may give")),
            }
        });
        reply(request.reference, definite, |retry_after_ms| RefundAnswer::Unknown { retry_after_ms })
    }

    async fn health(&self) -> Result<(), String> {
        let unreachable = "the payment gateway does not answer: check the setting gateway.url";
        let answered = self.client.get(format!("{}/healthz", self.url)).send().await;
        match answered {
            Ok(response) if response.status().is_success() => Ok(()),
            _ => Err(unreachable.to_owned()),
        }
    }
}

impl Gateway for KeyedJsonGateway {
    fn pay<'a>(&'a self, request: PayRequest<'a>) -> Answering<'a, Reply<PayAnswer>> {
        Box::pin(self.send_payment(request))
    }

    fn refund<'a>(&'a self, request: RefundRequest<'a>) -> Answering<'a, Reply<RefundAnswer>> {
        Box::pin(self.send_refund(request))
    }

    fn look_up<'a>(&'a self, key: &'a str, reference: &'a str) -> Answering<'a, Reply<LookUpAnswer>> {
        Box::pin(async move {
            reply(reference, self.find(key, reference).await, |retry_after_ms| LookUpAnswer::Unknown { retry_after_ms })
        })
    }

    fn check(&self) -> Answering<'_, Result<(), String>> {
        Box::pin(self.health())
    }

    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Notice, WebhookError> {
        self.webhooks.read(request)
    }
}

/// A whole answer: one that breaks off proves nothing, however much of it came.
async fn read(mut response: Response) -> Result<Vec<u8>, Indefinite> {
    let mut whole = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if whole.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(alarming("its answer is too long"));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// What is definite, or else that it is unknown; with an alarm, where an operator must look.
fn reply<A>(claim_id: &str, definite: Result<A, Indefinite>, unknown: impl FnOnce(Option<u64>) -> A) -> Reply<A> {
    match definite {
        Ok(answer) => Reply::answered(answer),
        Err(Indefinite { retry_after_ms, sign, alarm, what }) => {
            if let Some(alarm) = alarm {
                tracing::error!(claim_id, "the payment gateway cannot be understood: {alarm}");
                metrics::counter!("payment_alarms_total").increment(1);
            }
            Reply { answer: unknown(retry_after_ms), sign, unclear: Some(what) }
        }
    }
}

fn broken(error: &reqwest::Error) -> Indefinite {
    if error.is_timeout() { indefinite("timeout", Sign::TimedOut) } else { indefinite("connection", Sign::Failed) }
}

fn indefinite(reason: &'static str, sign: Sign) -> Indefinite {
    metrics::counter!("gateway_indefinite_total", "reason" => reason).increment(1);
    Indefinite { retry_after_ms: None, sign, alarm: None, what: reason.to_owned() }
}

/// An answer that a gateway should never give: an operator must look, and nothing is concluded from it.
fn alarming(what: &'static str) -> Indefinite {
    Indefinite { alarm: Some(what), what: what.to_owned(), ..indefinite("nonsense", Sign::Unclear) }
}

/// How long the gateway demands to be left alone, in milliseconds: `Retry-After` in seconds, or as a time of its own clock.
fn retry_after_ms(response: &Response) -> Option<u64> {
    let header = |name| Some(response.headers().get(name)?.to_str().ok()?.trim());
    let demanded = header("retry-after")?;
    let seconds = demanded.parse().ok().or_else(|| {
        let time = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
        let now = header("date").and_then(time).unwrap_or_else(Timestamp::now);
        u64::try_from(time(demanded)?.duration_since(now).as_secs()).ok()
    })?;
    u64::try_from(Duration::from_secs(seconds).min(MAX_RETRY_AFTER).as_millis()).ok()
}
