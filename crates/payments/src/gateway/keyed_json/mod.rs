//! The dialect `keyed_json`: JSON over HTTP, each request under an `Idempotency-Key`, and webhooks signed in the header
//! `Gateway-Signature`. The simulated gateway speaks it.
//!
//! The adapter decides what counts as a definite answer: only a well-formed one, to this request, in the right currency.
//! Everything else is unknown, and is requested again under the same key, or looked up where only that can tell.

mod answer;
mod webhook;

use super::{Answering, Gateway, Notice, PayRequest, RefundRequest, Reply, WebhookError, WebhookRequest};
use crate::domain::ledger::is_amount;
use crate::domain::saga::{LookUpAnswer, PayAnswer, RefundAnswer};
use crate::settings::GatewaySettings;
use answer::{Answer, Bounds, Indefinite, Unclear, receive, reply};
use anyhow::Context;
use reqwest::{Client, RequestBuilder, StatusCode};
use secrets::Secret;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use webhook::WebhookReader;

pub(crate) use webhook::Event as WebhookEvent;

const CURRENCY: &str = "USD";
/// The reference of a look-up that only finds out whether the gateway lets us in. No payment has it.
const PROBE_REFERENCE: &str = "credentials-check";

/// A gateway that speaks this dialect.
#[derive(Debug, Clone)]
pub struct KeyedJsonGateway {
    client: Client,
    url: String,
    api_key: Secret,
    bounds: Bounds,
    webhooks: WebhookReader,
    /// Whether the last call that told was not let in.
    is_unauthorized: Arc<AtomicBool>,
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
    #[serde(default)]
    refund_pending: bool,
    code: Option<String>,
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
            secrets: [settings.webhook_secret.clone(), settings.webhook_secret_previous.clone()],
            tolerance_s: settings.webhook_tolerance_s.into(),
            currency: CURRENCY,
        };
        let bounds = Bounds {
            max_bytes: settings.max_answer_bytes,
            max_retry_after: Duration::from_millis(settings.max_retry_after_ms),
        };
        let url = settings.url.trim_end_matches('/').to_owned();
        let api_key = settings.api_key.clone();
        Ok(Self { client, url, api_key, bounds, webhooks, is_unauthorized: Arc::default() })
    }

    async fn post(&self, path: &str, key: &str, body: serde_json::Value) -> Result<Answer, Indefinite> {
        self.send(self.client.post(format!("{}{path}", self.url)).header("Idempotency-Key", key).json(&body)).await
    }

    /// Sends a request and receives its answer, which tells whether the gateway lets us in.
    async fn send(&self, request: RequestBuilder) -> Result<Answer, Indefinite> {
        let request = if self.api_key.is_empty() { request } else { request.bearer_auth(self.api_key.expose()) };
        let answer = receive(request.send().await, self.bounds).await?;
        if answer.is_unauthorized() {
            self.is_unauthorized.store(true, Ordering::SeqCst);
        } else if answer.is_let_in() {
            self.is_unauthorized.store(false, Ordering::SeqCst);
        }
        Ok(answer)
    }

    async fn send_look_up(&self, reference: &str) -> Result<Answer, Indefinite> {
        self.send(self.client.get(format!("{}/payments", self.url)).query(&[("reference", reference)])).await
    }

    async fn find(&self, key: &str, reference: &str) -> Result<LookUpAnswer, Indefinite> {
        let answer = self.send_look_up(reference).await?;
        let found: FoundPayments = answer.parse()?;
        let unexpected = || answer.nonsense("its answer to a look-up is not one that it may give");
        if !answer.status.is_success() {
            return Err(unexpected());
        }
        let mut payments = found.payments.into_iter();
        let Some(payment) = payments.next() else { return Ok(LookUpAnswer::NotFound) };
        if payments.next().is_some() || payment.reference != reference || payment.idempotency_key != key {
            return Err(answer.nonsense("it knows of another payment under this reference"));
        }
        if !is_our_currency(&payment.currency) {
            return Err(answer.nonsense("it answers in another currency"));
        }
        let amount_cents = payment.amount_cents;
        match (payment.status.as_str(), payment.refunded, payment.returned) {
            ("pending", false, false) => Err(answer.pending()),
            ("approved", false, false) if payment.refund_pending => Err(answer.pending()),
            ("declined", false, false) => {
                Ok(LookUpAnswer::Declined { code: payment.code.unwrap_or_else(|| "declined".to_owned()) })
            }
            ("approved", false, false) if is_amount(amount_cents) => Ok(LookUpAnswer::Paid { amount_cents }),
            ("approved", true, false) if is_amount(amount_cents) => Ok(LookUpAnswer::Refunded { amount_cents }),
            ("approved", false, true) if is_amount(amount_cents) => Ok(LookUpAnswer::Returned { amount_cents }),
            _ => Err(unexpected()),
        }
    }

    async fn send_payment(&self, request: PayRequest<'_>) -> Result<PayAnswer, Indefinite> {
        let body = json!({
            "reference": request.reference,
            "amount_cents": request.amount_cents,
            "currency": CURRENCY,
            "payee": request.payee,
        });
        let answer = self.post("/payments", request.key, body).await?;
        let body = AnswerBody::of(&answer, request.reference)?;
        let may_decline = answer.status.is_success() || answer.status == StatusCode::PAYMENT_REQUIRED;
        match (body.status.as_str(), body.amount_cents) {
            ("approved", Some(amount_cents)) if answer.status.is_success() && is_amount(amount_cents) => {
                Ok(PayAnswer::Approved { amount_cents })
            }
            ("declined", _) if may_decline => {
                Ok(PayAnswer::Declined { code: body.code.unwrap_or_else(|| "declined".to_owned()) })
            }
            _ => Err(answer.nonsense("its answer to a payment is not one that it may give")),
        }
    }

    async fn send_refund(&self, request: RefundRequest<'_>) -> Result<RefundAnswer, Indefinite> {
        let body = json!({"reference": request.reference, "amount_cents": request.amount_cents, "currency": CURRENCY});
        let answer = self.post("/refunds", request.key, body).await?;
        let body = AnswerBody::of(&answer, request.reference)?;
        if body.amount_cents.is_some_and(|amount_cents| amount_cents != request.amount_cents) {
            return Err(answer.nonsense("it refunded another amount than was requested"));
        }
        match body.status.as_str() {
            // Already refunded under another key is the same fact: the money is back, once.
            "refunded" | "already_refunded" if answer.status.is_success() => Ok(RefundAnswer::Refunded),
            "already_returned" if answer.status.is_success() => Ok(RefundAnswer::AlreadyReturned),
            "failed" if answer.status.is_success() || answer.status == StatusCode::PAYMENT_REQUIRED => {
                Ok(RefundAnswer::Failed)
            }
            _ => Err(answer.nonsense("its answer to a refund is not one that it may give")),
        }
    }

    /// Whether it answers and lets us in. Its health route may need no credentials, so that a call that was not let in counts until
    /// another one is; a look-up finds out where no call is made.
    async fn health(&self) -> Result<(), String> {
        let unreachable = "the payment gateway does not answer: check the setting gateway.url";
        let answered = self.client.get(format!("{}/healthz", self.url)).send().await;
        if !answered.is_ok_and(|response| response.status().is_success()) {
            return Err(unreachable.to_owned());
        }
        if self.is_unauthorized.load(Ordering::SeqCst) {
            // Its result is noted by `send`.
            let _ = self.send_look_up(PROBE_REFERENCE).await;
        }
        if self.is_unauthorized.load(Ordering::SeqCst) {
            return Err(
                "the payment gateway does not accept our credentials: check the setting gateway.api_key".to_owned()
            );
        }
        Ok(())
    }
}

impl AnswerBody {
    /// Reads the body of an answer to a request for this reference, every amount in it in our currency.
    fn of(answer: &Answer, reference: &str) -> Result<Self, Indefinite> {
        let body: Self = answer.parse()?;
        let is_pending = matches!(body.status.as_str(), "pending" | "processing");
        if answer.status.is_success() && is_pending && body.reference.as_deref().is_none_or(|named| named == reference)
        {
            return Err(answer.pending());
        }
        if body.reference.as_deref() != Some(reference) {
            return Err(answer.nonsense("it answers for another reference"));
        }
        match (&body.currency, body.amount_cents) {
            (Some(currency), _) if !is_our_currency(currency) => Err(answer.nonsense("it answers in another currency")),
            (None, Some(_)) => Err(answer.nonsense("it names an amount without a currency")),
            _ => Ok(body),
        }
    }
}

fn is_our_currency(currency: &str) -> bool {
    currency.eq_ignore_ascii_case(CURRENCY)
}

impl Gateway for KeyedJsonGateway {
    fn pay<'a>(&'a self, request: PayRequest<'a>) -> Answering<'a, Reply<PayAnswer>> {
        Box::pin(async move {
            reply(request.reference, "pay", self.send_payment(request).await, |unclear| match unclear {
                Unclear::Unknown { retry_after_ms } => PayAnswer::Unknown { retry_after_ms },
                Unclear::Pending { retry_after_ms } => PayAnswer::Pending { retry_after_ms },
                Unclear::Unauthorized => PayAnswer::Unauthorized,
            })
        })
    }

    fn refund<'a>(&'a self, request: RefundRequest<'a>) -> Answering<'a, Reply<RefundAnswer>> {
        Box::pin(async move {
            reply(request.reference, "refund", self.send_refund(request).await, |unclear| match unclear {
                Unclear::Unknown { retry_after_ms } => RefundAnswer::Unknown { retry_after_ms },
                Unclear::Pending { retry_after_ms } => RefundAnswer::Pending { retry_after_ms },
                Unclear::Unauthorized => RefundAnswer::Unauthorized,
            })
        })
    }

    fn look_up<'a>(&'a self, key: &'a str, reference: &'a str) -> Answering<'a, Reply<LookUpAnswer>> {
        Box::pin(async move {
            reply(reference, "look_up", self.find(key, reference).await, |unclear| match unclear {
                Unclear::Unknown { retry_after_ms } => LookUpAnswer::Unknown { retry_after_ms },
                Unclear::Pending { retry_after_ms } => LookUpAnswer::Pending { retry_after_ms },
                Unclear::Unauthorized => LookUpAnswer::Unauthorized,
            })
        })
    }

    fn check(&self) -> Answering<'_, Result<(), String>> {
        Box::pin(self.health())
    }

    fn read_webhook(&self, request: &WebhookRequest<'_>) -> Result<Notice, WebhookError> {
        self.webhooks.read(request)
    }
}
