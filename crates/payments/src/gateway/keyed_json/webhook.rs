//! The webhooks of this dialect: what signs them, and what they mean.
//!
//! The header `Gateway-Signature: t=<unix seconds>,v1=<hex>` must hold the HMAC-SHA256 (RFC 2104) of `<unix seconds>.<body>`
//! under the shared secret, and its time must be near.

use crate::domain::ledger::{MOST_CENTS, is_amount};
use crate::gateway::{Notice, WebhookError, WebhookRequest};
use hmac::{Hmac, Mac};
use secrets::Secret;
use serde::Deserialize;
use sha2::Sha256;
use utoipa::ToSchema;

const SIGNATURE_HEADER: &str = "gateway-signature";
/// The longest id of an event, and the longest reference, in characters.
const LONGEST_NAME: usize = 200;

/// Verifies and reads webhooks.
#[derive(Debug, Clone)]
pub(super) struct WebhookReader {
    /// The secret under which the gateway signs; where it is empty no webhook is taken.
    pub(super) secret: Secret,
    /// How far a signature's time may be from now, in seconds.
    pub(super) tolerance_s: i64,
    /// The currency that amounts must be in.
    pub(super) currency: &'static str,
}

/// The body of a webhook.
#[derive(Deserialize, ToSchema)]
#[schema(as = GatewayEvent)]
pub(crate) struct Event {
    /// The event's own id, by which a repeat is known.
    id: String,
    #[serde(rename = "type")]
    #[schema(examples("payment.returned"))]
    kind: String,
    reference: String,
    amount_cents: i64,
    currency: String,
}

impl WebhookReader {
    /// What a webhook reports, once its signature is verified.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn read(&self, request: &WebhookRequest<'_>) -> Result<Notice, WebhookError> {
        if self.secret.is_empty() {
            return Err(WebhookError::NoSecret);
        }
        let signature = (request.header)(SIGNATURE_HEADER).unwrap_or_default();
        check(&signature, request.body, &self.secret, request.now_s, self.tolerance_s)
            .map_err(|(reason, why)| WebhookError::NotVerified { reason, why })?;
        let event: Event = serde_json::from_slice(request.body)
            .map_err(|_| WebhookError::Malformed("the body is not an event of the gateway".to_owned()))?;
        if !is_a_name(&event.id) || !is_a_name(&event.reference) {
            let why = format!("id and reference must have 1 to {LONGEST_NAME} printable characters");
            return Err(WebhookError::Malformed(why));
        }
        if event.kind != "payment.returned" || event.currency != self.currency || !is_amount(event.amount_cents) {
            return Err(WebhookError::NotUnderstood(format!(
                "only payment.returned is understood, with an amount of 1 to {MOST_CENTS} cents in {}",
                self.currency
            )));
        }
        Ok(Notice::PaymentReturned { event_id: event.id, reference: event.reference, amount_cents: event.amount_cents })
    }
}

/// Whether a text can be an id: not empty, not endless, and printable.
fn is_a_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a signature is the gateway's, and of this time; otherwise a label for metrics and a sentence for its sender.
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
        return Err(("old", "the signature's time is too far from now: sign it again, and check both clocks"));
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
    fn only_a_recent_signature_under_the_shared_secret_is_accepted() {
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
