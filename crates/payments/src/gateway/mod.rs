//! The payment gateway: what is asked of it, the adapter that asks over HTTP, and the dispatcher, whose limiter bounds how
//! much is asked at once.

mod dispatcher;
mod http;
mod limiter;

use crate::domain::concurrency::Sign;
use crate::domain::saga::{LookUpAnswer, PayAnswer, RefundAnswer};
use std::future::Future;

pub use dispatcher::{Answered, Dispatcher};
pub use http::HttpGateway;
pub use limiter::{Limiter, Snapshot};

/// A request to pay.
#[derive(Debug, Clone, Copy)]
pub struct PayRequest<'a> {
    /// The idempotency key: the same for every attempt.
    pub key: &'a str,
    /// The claim id, by which the gateway's book knows the payment.
    pub reference: &'a str,
    /// Who is paid.
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

/// An answer, and what the call says of the gateway's load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<A> {
    /// The answer.
    pub answer: A,
    /// The sign. It decides nothing about the payment, only how many calls are made at once, and when none is.
    pub sign: Sign,
}

impl<A> Reply<A> {
    /// An answer of a gateway that had time for it.
    pub fn answered(answer: A) -> Self {
        Self { answer, sign: Sign::Answered }
    }

    /// The same sign, and what becomes of the answer.
    pub fn map<B>(self, change: impl FnOnce(A) -> B) -> Reply<B> {
        Reply { answer: change(self.answer), sign: self.sign }
    }
}

/// A payment gateway. Whatever is not a definite answer to this very request is `Unknown`.
pub trait Gateway: Send + Sync + 'static {
    /// Pays.
    fn pay(&self, request: PayRequest<'_>) -> impl Future<Output = Reply<PayAnswer>> + Send;

    /// Takes a payment back.
    fn refund(&self, request: RefundRequest<'_>) -> impl Future<Output = Reply<RefundAnswer>> + Send;

    /// Looks a payment up by its key and its reference. That it is not found proves nothing: its request may still come.
    fn look_up(&self, key: &str, reference: &str) -> impl Future<Output = Reply<LookUpAnswer>> + Send;

    /// Whether it answers at all, in words fit for a health check.
    fn check(&self) -> impl Future<Output = Result<(), String>> + Send;
}
