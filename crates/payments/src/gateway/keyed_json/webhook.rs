//! The webhooks of this dialect: what signs them, and what they mean.
//!
//! The header `Gateway-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>]` must hold the HMAC-SHA256 (RFC 2104) of
//! `<unix seconds>.<body>` under a shared secret, and its time must be near. While a secret is rotated the gateway may sign under
//! both, in one header or in two, and both may be set here: any signature that fits counts.

use crate::domain::ledger::{MOST_CENTS, is_amount};
use crate::gateway::{Notice, Report, WebhookError, WebhookRequest};
use hmac::{Hmac, Mac};
use secrets::Secret;
use serde::Deserialize;
use sha2::Sha256;
use utoipa::ToSchema;

const SIGNATURE_HEADER: &str = "gateway-signature";
/// The longest id of an event, and the longest reference, in characters.
const LONGEST_NAME: usize = 200;
/// The types of events that do not concern us and are counted by their names; all others are counted as `other`.
const NO_CONCERN: [&str; 6] =
    ["payment.approved", "payment.declined", "payment.pending", "refund.approved", "refund.pending", "webhook.test"];

const MALFORMED: (&str, &str) = (
    "no_signature",
    "the header Gateway-Signature must be t=<unix seconds>,v1=<hex>[,v1=<hex>], with one t in each header",
);

/// Verifies and reads webhooks.
#[derive(Debug, Clone)]
pub(super) struct WebhookReader {
    /// The secrets under which the gateway may sign; an empty one counts for nothing, and without any no webhook is taken.
    pub(super) secrets: [Secret; 2],
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
    /// `payment.returned`, `refund.failed`, or one that does not concern us and needs no other field.
    #[serde(rename = "type")]
    #[schema(examples("payment.returned"))]
    kind: String,
    reference: String,
    amount_cents: i64,
    /// In upper or lower case.
    currency: String,
    /// The `Idempotency-Key` of the refund that failed.
    idempotency_key: Option<String>,
}

/// What every event has.
#[derive(Deserialize)]
struct AnyEvent {
    #[serde(rename = "type")]
    kind: String,
}

/// A header's time, and its signatures.
struct Signed<'a> {
    time: &'a str,
    at_s: i64,
    signatures: Vec<Vec<u8>>,
}

impl WebhookReader {
    /// What a webhook reports, once its signature is verified.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn read(&self, request: &WebhookRequest<'_>) -> Result<Notice, WebhookError> {
        if self.secrets.iter().all(Secret::is_empty) {
            return Err(WebhookError::NoSecret);
        }
        self.check(&(request.header)(SIGNATURE_HEADER), request.body, request.now_s)
            .map_err(|(reason, why)| WebhookError::NotVerified { reason, why })?;
        let malformed = || WebhookError::Malformed("the body is not an event of the gateway".to_owned());
        let AnyEvent { kind } = serde_json::from_slice(request.body).map_err(|_| malformed())?;
        if !matches!(kind.as_str(), "payment.returned" | "refund.failed") {
            let known = NO_CONCERN.into_iter().find(|name| *name == kind);
            return Ok(Notice::NoConcern(known.unwrap_or("other")));
        }
        let event: Event = serde_json::from_slice(request.body).map_err(|_| malformed())?;
        let names = [Some(&event.id), Some(&event.reference), event.idempotency_key.as_ref()];
        if !names.into_iter().flatten().all(|name| is_a_name(name)) {
            let why = format!("id, reference and idempotency_key must have 1 to {LONGEST_NAME} printable characters");
            return Err(WebhookError::Malformed(why));
        }
        if !event.currency.eq_ignore_ascii_case(self.currency) || !is_amount(event.amount_cents) {
            return Err(WebhookError::NotUnderstood(format!(
                "only amounts of 1 to {MOST_CENTS} cents in {} can be placed",
                self.currency
            )));
        }
        let report = match (event.kind.as_str(), event.idempotency_key) {
            ("refund.failed", Some(key)) => Report::RefundFailed { key },
            ("refund.failed", None) => {
                return Err(WebhookError::Malformed("refund.failed must name the refund's idempotency_key".to_owned()));
            }
            _ => Report::PaymentReturned,
        };
        Ok(Notice::Concerns {
            event_id: event.id,
            reference: event.reference,
            amount_cents: event.amount_cents,
            report,
        })
    }

    /// Whether one of the headers holds a signature that is the gateway's, and of this time; otherwise a label for metrics and
    /// a sentence for its sender.
    fn check(&self, headers: &[String], body: &[u8], now_s: i64) -> Result<(), (&'static str, &'static str)> {
        let mut result = Err(MALFORMED);
        for header in headers {
            match self.check_one(header, body, now_s) {
                Ok(()) => return Ok(()),
                // What another header says of itself is more to the point.
                Err(MALFORMED) => {}
                wrong => result = wrong,
            }
        }
        result
    }

    fn check_one(&self, header: &str, body: &[u8], now_s: i64) -> Result<(), (&'static str, &'static str)> {
        let signed = Signed::parse(header).ok_or(MALFORMED)?;
        if !self.secrets.iter().any(|secret| signed.fits(body, secret)) {
            return Err(("wrong_signature", "the signature does not fit the body and the secret"));
        }
        if now_s.saturating_sub(signed.at_s).saturating_abs() > self.tolerance_s {
            return Err(("old", "the signature's time is too far from now: sign it again, and check both clocks"));
        }
        Ok(())
    }
}

impl<'a> Signed<'a> {
    /// Reads a header. Which of two times is meant cannot be known, so that there must be one.
    fn parse(header: &'a str) -> Option<Self> {
        let parts = |name: &'static str| header.split(',').filter_map(move |part| part.trim().strip_prefix(name));
        let mut times = parts("t=");
        let (Some(time), None) = (times.next(), times.next()) else { return None };
        let signatures: Vec<_> = parts("v1=").filter_map(from_hex).collect();
        (!signatures.is_empty()).then_some(Self { time, at_s: time.parse().ok()?, signatures })
    }

    fn fits(&self, body: &[u8], secret: &Secret) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
        mac.update(self.time.as_bytes());
        mac.update(b".");
        mac.update(body);
        !secret.is_empty() && self.signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    }
}

/// Whether a text can be an id: not empty, not endless, and printable.
fn is_a_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
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
    const HEX: &str = "1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908";

    fn reader(secret: &str, previous: &str) -> WebhookReader {
        WebhookReader { secrets: [secret.into(), previous.into()], tolerance_s: 300, currency: "USD" }
    }

    fn check(headers: &[&str], body: &str, secret: &str, now_s: i64) -> Result<(), &'static str> {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        reader(secret, "").check(&headers, body.as_bytes(), now_s).map_err(|(reason, _)| reason)
    }

    #[test]
    fn only_a_recent_signature_under_the_shared_secret_is_accepted() {
        let signed = format!("t=1,v1={HEX}");
        let check = |signature: &str, body: &str, secret: &str, now_s| check(&[signature], body, secret, now_s);
        assert_eq!(check(&signed, "{}", "secret", 1), Ok(()));
        assert_eq!(check(&signed, "{}", "secret", 301), Ok(()));
        assert_eq!(check(&signed, "{}", "secret", 302), Err("old"));
        assert_eq!(check(&signed, "{}", "secret", -300), Err("old"));
        assert_eq!(check(&signed, "{ }", "secret", 1), Err("wrong_signature"));
        assert_eq!(check(&signed, "{}", "another", 1), Err("wrong_signature"));
        assert_eq!(check(&signed.replace("t=1", "t=2"), "{}", "secret", 1), Err("wrong_signature"));
        let twice = format!("t=1,v1={HEX},t=1");
        for signature in ["", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=0", "t=1,v1=zz", twice.as_str()] {
            assert_eq!(check(signature, "{}", "secret", 1), Err("no_signature"), "{signature}");
        }
        assert_eq!(check("t=1,v1=", "{}", "secret", 1), Err("wrong_signature"));
    }

    #[test]
    fn any_signature_that_fits_counts_in_one_header_or_in_two() {
        let fits = format!("t=1,v1={HEX}");
        let other = format!("t=1,v1={}", "0".repeat(64));
        for headers in [
            &[format!("t=1,v1={},v1={HEX}", "0".repeat(64)).as_str()][..],
            &[format!("t=1,v1=zz,v1={HEX}").as_str()],
            &[other.as_str(), fits.as_str()],
            &[fits.as_str(), other.as_str()],
            &["nonsense", fits.as_str()],
        ] {
            assert_eq!(check(headers, "{}", "secret", 1), Ok(()), "{headers:?}");
        }
        assert_eq!(check(&[other.as_str(), "nonsense"], "{}", "secret", 1), Err("wrong_signature"));
        assert_eq!(check(&[], "{}", "secret", 1), Err("no_signature"));
    }

    #[test]
    fn the_secret_before_counts_as_long_as_it_is_set_and_an_empty_one_never() {
        let signed = [format!("t=1,v1={HEX}")];
        for (secret, previous, fits) in
            [("secret", "old", true), ("new", "secret", true), ("", "secret", true), ("new", "", false)]
        {
            assert_eq!(reader(secret, previous).check(&signed, b"{}", 1).is_ok(), fits, "{secret}, {previous}");
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").expect("any key");
        mac.update(b"1.{}");
        let forged: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(reader("new", "").check(&[format!("t=1,v1={forged}")], b"{}", 1).is_err());
    }
}
