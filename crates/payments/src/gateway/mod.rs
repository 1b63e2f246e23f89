//! The payment gateway: [`Gateway`] is all that is requested of one and all that it reports, [`adapters`] has the one that
//! the settings name, and the dispatcher makes the calls, whose number the limiter bounds.

pub mod adapters;
mod dispatcher;
pub mod keyed_json;
mod limiter;
mod reply;

use crate::domain::gateway_call::{LookUpAnswer, PayAnswer, RefundAnswer};
use std::future::Future;
use std::pin::Pin;

pub use dispatcher::{Answered, Dispatcher};
pub use limiter::{Limiter, Snapshot};
pub use reply::Reply;

/// A request to pay.
#[derive(Debug, Clone, Copy)]
pub struct PayRequest<'a> {
    /// The idempotency key: the same for every attempt.
    pub key: &'a str,
    /// The claim id, by which the gateway's book knows the payment.
    pub reference: &'a str,
    /// The NPI of the provider that is paid.
    pub payee: &'a str,
    /// How much, in cents.
    pub amount_cents: i64,
}

/// A request to take a payment back.
#[derive(Debug, Clone, Copy)]
pub struct RefundRequest<'a> {
    /// The idempotency key: the same for every attempt.
    pub key: &'a str,
    /// The claim id.
    pub reference: &'a str,
    /// How much was paid, in cents.
    pub amount_cents: i64,
}

/// A webhook as it was received.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "the header is a function, and a body is never logged")]
pub struct WebhookRequest<'a> {
    /// The value of a header, by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The whole body.
    pub body: &'a [u8],
    /// The time now, in seconds since 1970 (UTC).
    pub now_s: i64,
}

/// What a gateway reports without having been called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A payment was returned by itself.
    PaymentReturned {
        /// The gateway's id of this notice: a repeat has the same one.
        event_id: String,
        /// The claim id.
        reference: String,
        /// How much, in cents; from 1 to [`MOST_CENTS`](crate::domain::ledger::MOST_CENTS).
        amount_cents: i64,
    },
}

/// Why a webhook is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookError {
    /// No secret is set by which it could be verified, so none is accepted.
    NoSecret,
    /// It is not the gateway's, or too old.
    NotVerified {
        /// A label for metrics.
        reason: &'static str,
        /// A sentence for its sender.
        why: &'static str,
    },
    /// Its body cannot be read.
    Malformed(String),
    /// It is of a type, currency or amount that is not understood.
    NotUnderstood(String),
}

/// What a gateway's method returns once the gateway has answered.
pub type Answering<'a, A> = Pin<Box<dyn Future<Output = A> + Send + 'a>>;

/// A payment gateway. Whatever is not a definite answer to this very request is `Unknown`.
pub trait Gateway: Send + Sync + 'static {
    /// Pays.
    fn pay<'a>(&'a self, request: PayRequest<'a>) -> Answering<'a, Reply<PayAnswer>>;

    /// Takes a payment back.
    fn refund<'a>(&'a self, request: RefundRequest<'a>) -> Answering<'a, Reply<RefundAnswer>>;

    /// Looks a payment up by its key and its reference. That it is not found proves nothing: its request may still arrive.
    fn look_up<'a>(&'a self, key: &'a str, reference: &'a str) -> Answering<'a, Reply<LookUpAnswer>>;

    /// Whether it answers at all; the error is a sentence for a health check.
    fn check(&self) -> Answering<'_, Result<(), String>>;

    /// Verifies a webhook, and reads what it reports. A gateway without webhooks accepts none.
    ///
    /// # Errors
    /// Why it is refused.
    fn read_webhook(&self, _request: &WebhookRequest<'_>) -> Result<Notice, WebhookError> {
        Err(WebhookError::NoSecret)
    }
}
