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
    /// The values of a header, by its lower-case name: one for each time that it occurs.
    pub header: &'a dyn Fn(&str) -> Vec<String>,
    /// The whole body.
    pub body: &'a [u8],
    /// The time now, in seconds since 1970 (UTC).
    pub now_s: i64,
}

/// What a gateway reports without having been called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something that concerns a payment.
    Concerns {
        /// The gateway's id of this notice: a repeat has the same one.
        event_id: String,
        /// The claim id.
        reference: String,
        /// How much money it is about, in cents; from 1 to [`MOST_CENTS`](crate::domain::ledger::MOST_CENTS).
        amount_cents: i64,
        /// What happened.
        report: Report,
    },
    /// Something else, by its type: one of a bounded number of names, for a metric.
    NoConcern(&'static str),
}

/// What happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It was returned by itself, in whole or in part.
    PaymentReturned,
    /// A refund of it failed, which may have been approved before.
    RefundFailed {
        /// The idempotency key of that refund.
        key: String,
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
    /// Its body is not an event.
    Malformed(String),
    /// It concerns a payment, and what it reports of it cannot be placed: a currency or an amount that is not ours.
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

    /// Whether it can be worked with: it answers, and lets us in. The error is a sentence for a health check.
    fn check(&self) -> Answering<'_, Result<(), String>>;

    /// Verifies a webhook, and reads what it reports. A gateway without webhooks accepts none.
    ///
    /// # Errors
    /// Why it is refused.
    fn read_webhook(&self, _request: &WebhookRequest<'_>) -> Result<Notice, WebhookError> {
        Err(WebhookError::NoSecret)
    }
}
