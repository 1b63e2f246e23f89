//! The webhooks about returned payments and failed refunds, and the signatures by which the receiver authenticates them.
//!
//! The header `Gateway-Signature: t=<unix seconds>,v1=<hex>` holds the HMAC-SHA256 (RFC 2104) of `<unix seconds>.<body>`
//! under the secret that both sides share, and while it is rotated a second `v1` under the other one.

use super::request::CURRENCY;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

/// The name of the header.
pub const SIGNATURE_HEADER: &str = "gateway-signature";

/// What happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The payee's bank returned it, or a part of it.
    PaymentReturned,
    /// Its refund failed after it was approved.
    RefundFailed {
        /// The refund's idempotency key.
        key: String,
    },
}

/// A notice of what happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The event's id, the same in every retry.
    pub event_id: String,
    /// What happened.
    pub event: Event,
    /// The payment's public id.
    pub payment_id: String,
    /// The payer's reference.
    pub reference: String,
    /// How much was returned, or not refunded, in cents.
    pub amount_cents: i64,
}

impl Event {
    /// The event's type.
    pub fn name(&self) -> &'static str {
        match self {
            Event::PaymentReturned => "payment.returned",
            Event::RefundFailed { .. } => "refund.failed",
        }
    }
}

impl Notice {
    /// The body of the webhook.
    pub fn body(&self, currency_in_lower_case: bool) -> String {
        let currency = if currency_in_lower_case { CURRENCY.to_lowercase() } else { CURRENCY.to_owned() };
        let mut body = json!({
            "id": self.event_id,
            "type": self.event.name(),
            "payment_id": self.payment_id,
            "reference": self.reference,
            "amount_cents": self.amount_cents,
            "currency": currency,
        });
        if let Event::RefundFailed { key } = &self.event {
            body["idempotency_key"] = key.as_str().into();
        }
        body.to_string()
    }
}

/// The signatures of a body that is sent at `at_s` (unix seconds), under each of these secrets that is set.
pub fn signatures(secrets: &[&str], at_s: i64, body: &str) -> String {
    let signed =
        secrets.iter().filter(|secret| !secret.is_empty()).map(|secret| format!("v1={}", hmac(secret, at_s, body)));
    std::iter::once(format!("t={at_s}")).chain(signed).collect::<Vec<_>>().join(",")
}

fn hmac(secret: &str, at_s: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(format!("{at_s}.{body}").as_bytes());
    format!("{:x}", mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_equals_that_of_openssl() {
        const HEX: &str = "1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908";
        assert_eq!(signatures(&["secret", ""], 1, "{}"), format!("t=1,v1={HEX}"));
        let both = signatures(&["other", "secret"], 1, "{}");
        assert!(both.ends_with(&format!(",v1={HEX}")) && both.matches("v1=").count() == 2, "{both}");
    }
}
