//! The webhook about a returned payment, and the signature by which the receiver authenticates it.
//!
//! The header `Gateway-Signature: t=<unix seconds>,v1=<hex>` holds the HMAC-SHA256 (RFC 2104) of `<unix seconds>.<body>`
//! under the secret that both sides share.

use super::request::CURRENCY;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

/// The name of the header.
pub const SIGNATURE_HEADER: &str = "gateway-signature";

/// A returned payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The event's id, the same in every retry.
    pub event_id: String,
    /// The payment's public id.
    pub payment_id: String,
    /// The payer's reference.
    pub reference: String,
    /// The returned amount, in cents.
    pub amount_cents: i64,
}

impl Returned {
    /// The body of the webhook.
    pub fn body(&self) -> String {
        json!({
            "id": self.event_id,
            "type": "payment.returned",
            "payment_id": self.payment_id,
            "reference": self.reference,
            "amount_cents": self.amount_cents,
            "currency": CURRENCY,
        })
        .to_string()
    }
}

/// The signature of a body that is sent at `at_s` (unix seconds).
pub fn signature(secret: &str, at_s: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(format!("{at_s}.{body}").as_bytes());
    format!("t={at_s},v1={:x}", mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_equals_that_of_openssl() {
        assert_eq!(
            signature("secret", 1, "{}"),
            "t=1,v1=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908"
        );
    }
}
