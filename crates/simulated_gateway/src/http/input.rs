//! Parses a request's body, header and query into the domain's types. All findings are returned at once, and nothing of the
//! request is echoed.

use super::problems;
use crate::domain::request::{Amount, CURRENCY, IdempotencyKey, Payee, Reference};
use actix_web::HttpRequest;
use secrets::Secret;
use serde_json::{Map, Value, json};
use service_runtime::problem::Problem;

/// The key that a payer must send; where it is empty, none is needed.
#[derive(Debug, Clone)]
pub(crate) struct PayerKey(pub(crate) Secret);

impl PayerKey {
    /// Checks the key of a request.
    pub(super) fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        let sent =
            request.headers().get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if self.0.is_empty() || sent == Some(self.0.expose()) { Ok(()) } else { Err(problems::unauthorized()) }
    }
}

/// A request that is being parsed: its members, and the findings so far.
pub(super) struct Input {
    members: Map<String, Value>,
    findings: Vec<Value>,
}

impl Input {
    /// Parses a body that is a JSON object.
    pub(super) fn from_body(body: &[u8]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            Problem::malformed(format!(
                "the body is not JSON: it cannot be read at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        match value {
            Value::Object(members) => Ok(Self { members, findings: Vec::new() }),
            _ => Err(Problem::malformed("the body must be a JSON object, as in {\"reference\": \"…\"}")),
        }
    }

    /// Parses the header `Idempotency-Key`.
    pub(super) fn key(&mut self, request: &HttpRequest) -> Option<IdempotencyKey> {
        let header = request.headers().get("idempotency-key");
        let key = header.and_then(|value| value.to_str().ok()).and_then(IdempotencyKey::parse);
        if key.is_none() {
            let message = text_wanted(header.is_none(), IdempotencyKey::MOST_CHARACTERS);
            self.find("Idempotency-Key", header.is_none(), message);
        }
        key
    }

    /// Parses the member `reference`.
    pub(super) fn reference(&mut self) -> Option<Reference> {
        self.text("reference", Reference::MOST_CHARACTERS, Reference::parse)
    }

    /// Parses the member `payee`.
    pub(super) fn payee(&mut self) -> Option<Payee> {
        self.text("payee", Payee::MOST_CHARACTERS, Payee::parse)
    }

    /// Parses the member `amount_cents`.
    pub(super) fn amount(&mut self) -> Option<Amount> {
        let value = self.members.get("amount_cents");
        let amount = value.and_then(Value::as_i64).and_then(Amount::from_cents);
        if amount.is_none() {
            let missing = value.is_none();
            let wanted = format!("a whole number of cents from 1 to {}", Amount::MOST_CENTS);
            let message = if missing { format!("is missing: give {wanted}") } else { format!("must be {wanted}") };
            self.find("amount_cents", missing, message);
        }
        amount
    }

    /// Checks the member `currency`, which has only one valid value.
    pub(super) fn check_currency(&mut self) {
        let value = self.members.get("currency");
        if value.and_then(Value::as_str) != Some(CURRENCY) {
            let missing = value.is_none();
            let message = format!("{} \"{CURRENCY}\"", if missing { "is missing: give" } else { "must be" });
            self.find("currency", missing, message);
        }
    }

    /// The problem with all findings.
    pub(super) fn refuse(self) -> Problem {
        problems::invalid(self.findings)
    }

    /// Whether there are findings.
    pub(super) fn is_refused(&self) -> bool {
        !self.findings.is_empty()
    }

    fn text<T>(&mut self, field: &str, longest: usize, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.members.get(field);
        let parsed = value.and_then(Value::as_str).and_then(parse);
        if parsed.is_none() {
            let missing = value.is_none();
            self.find(field, missing, text_wanted(missing, longest));
        }
        parsed
    }

    fn find(&mut self, field: &str, missing: bool, message: String) {
        let code = if missing { "missing" } else { "wrong" };
        self.findings.push(json!({"field": field, "code": code, "message": message}));
    }
}

fn text_wanted(missing: bool, longest: usize) -> String {
    let wanted = format!("1 to {longest} visible ASCII characters without blanks");
    if missing { format!("is missing: give {wanted}") } else { format!("must be {wanted}") }
}

/// Parses the query parameter `reference`.
pub(super) fn reference_of_query(reference: Option<&str>) -> Result<Reference, Problem> {
    reference.and_then(Reference::parse).ok_or_else(|| {
        Problem::malformed("name the reference to look for in the query, as in ?reference=4fXk0aV1StGXR8Z5jdHi6B")
    })
}
