//! The payment gateway: what is asked of it, the adapter that asks over HTTP, and the dispatcher that bounds how much is
//! asked at once.

mod dispatcher;
mod http;

use crate::domain::saga::{LookUpAnswer, PayAnswer, RefundAnswer};
use std::future::Future;

pub use dispatcher::{Answered, Dispatcher};
pub use http::HttpGateway;

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

/// A payment gateway. Whatever is not a definite answer to this very request is `Unknown`.
pub trait Gateway: Send + Sync + 'static {
    /// Pays.
    fn pay(&self, request: PayRequest<'_>) -> impl Future<Output = PayAnswer> + Send;

    /// Takes a payment back.
    fn refund(&self, request: RefundRequest<'_>) -> impl Future<Output = RefundAnswer> + Send;

    /// Looks a payment up by its key and its reference. That it is not found proves nothing: its request may still come.
    fn look_up(&self, key: &str, reference: &str) -> impl Future<Output = LookUpAnswer> + Send;

    /// Whether it answers at all, in words fit for a health check.
    fn check(&self) -> impl Future<Output = Result<(), String>> + Send;
}
