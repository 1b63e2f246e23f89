//! Reads the gateway's answers, and decides by status and body which of them may be definite.
//!
//! Each answer that is not is logged once, with its status and the form of its body: its type, its length, and the names of its
//! JSON fields. No value of a body is ever logged.

use crate::domain::concurrency::Sign;
use crate::gateway::Reply;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// The most names of fields that are logged of a body.
const MAX_NAMES: usize = 20;
/// The longest name of a field that is logged, in characters.
const LONGEST_NAME: usize = 40;

/// The bounds of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The longest body that is read, in bytes.
    pub(super) max_bytes: usize,
    /// The longest pause that may be demanded.
    pub(super) max_retry_after: Duration,
}

/// An answer that came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    retry_after_ms: Option<u64>,
    content_type: Option<String>,
    /// Its whole body, or why it did not come: one that breaks off proves nothing, however much of it came.
    body: Result<Vec<u8>, Reason>,
}

/// What an answer that is not definite means for the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclear {
    /// Nothing is known.
    Unknown { retry_after_ms: Option<u64> },
    /// Only a look-up can tell.
    Pending { retry_after_ms: Option<u64> },
    /// The gateway does not accept our credentials.
    Unauthorized,
}

/// Why an answer is not definite.
#[derive(Debug, Clone, Copy)]
struct Reason {
    /// A label for metrics and the log.
    name: &'static str,
    /// What it shows of the gateway's load.
    sign: Sign,
    /// What an operator must look at, where it is something that a gateway should never answer.
    alarm: Option<&'static str>,
}

/// An answer that is not definite.
pub(super) struct Indefinite {
    unclear: Unclear,
    reason: Reason,
    form: Box<Form>,
}

/// What may be logged of an answer.
#[derive(Default)]
struct Form {
    status: Option<u16>,
    content_type: Option<String>,
    body_bytes: Option<usize>,
    body_names: Option<String>,
}

const PENDING: Reason = Reason { name: "pending", sign: Sign::Answered, alarm: None };
const IN_PROGRESS: Reason = Reason { name: "in_progress", sign: Sign::Unclear, alarm: None };
const UNAUTHORIZED: Reason = Reason { name: "unauthorized", sign: Sign::Failed, alarm: None };
const BUSY: Reason = Reason { name: "busy", sign: Sign::Busy, alarm: None };
const SERVER_ERROR: Reason = Reason { name: "server_error", sign: Sign::Failed, alarm: None };
const TIMEOUT: Reason = Reason { name: "timeout", sign: Sign::TimedOut, alarm: None };
const CONNECTION: Reason = Reason { name: "connection", sign: Sign::Failed, alarm: None };

/// Something that a gateway should never answer: an operator must look, and nothing is concluded from it.
const fn nonsense(what: &'static str) -> Reason {
    Reason { name: "nonsense", sign: Sign::Unclear, alarm: Some(what) }
}

/// Receives an answer with its body.
///
/// # Errors
/// Where none came.
pub(super) async fn receive(sent: Result<Response, reqwest::Error>, bounds: Bounds) -> Result<Answer, Indefinite> {
    let response = sent.map_err(|error| Indefinite {
        unclear: Unclear::Unknown { retry_after_ms: None },
        reason: broken(&error),
        form: Box::default(),
    })?;
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    Ok(Answer {
        status: response.status(),
        retry_after_ms: retry_after_ms(response.headers(), bounds.max_retry_after),
        content_type: header("content-type"),
        body: read(response, bounds.max_bytes).await,
    })
}

async fn read(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, Reason> {
    let mut whole = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if whole.len() + chunk.len() > max_bytes {
            return Err(nonsense("its answer is too long"));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

fn broken(error: &reqwest::Error) -> Reason {
    if error.is_timeout() { TIMEOUT } else { CONNECTION }
}

impl Answer {
    /// Whether it says that our credentials are not accepted.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// Whether the gateway itself took the request in hand, and not only something before it.
    pub(super) fn is_let_in(&self) -> bool {
        !self.is_unauthorized() && !self.is_busy() && !self.status.is_server_error()
    }

    fn is_busy(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The body of an answer that may be definite.
    ///
    /// # Errors
    /// What it is else, by its status and its body.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Indefinite> {
        let retry_after_ms = self.retry_after_ms;
        if self.is_unauthorized() {
            return Err(self.not_definite(Unclear::Unauthorized, UNAUTHORIZED));
        }
        if self.is_busy() {
            return Err(self.unknown(BUSY));
        }
        if self.status.is_server_error() {
            return Err(self.unknown(SERVER_ERROR));
        }
        match self.status {
            StatusCode::NOT_FOUND => return Err(self.nonsense("it knows of no such payment, or takes no such request")),
            StatusCode::CONFLICT if self.says_in_progress() => return Err(self.unknown(IN_PROGRESS)),
            StatusCode::CONFLICT => {
                let reason = nonsense("it knows the idempotency key from another request");
                return Err(self.not_definite(Unclear::Pending { retry_after_ms }, reason));
            }
            _ => {}
        }
        let body = match &self.body {
            Ok(body) => body,
            Err(reason) => return Err(self.unknown(*reason)),
        };
        serde_json::from_slice(body).map_err(|_| match self.status {
            StatusCode::ACCEPTED => self.pending(),
            _ => self.nonsense("its answer is not the JSON it should be"),
        })
    }

    /// The gateway has it as pending.
    pub(super) fn pending(&self) -> Indefinite {
        self.not_definite(Unclear::Pending { retry_after_ms: self.retry_after_ms }, PENDING)
    }

    /// It should never have been given.
    pub(super) fn nonsense(&self, what: &'static str) -> Indefinite {
        self.not_definite(Unclear::Unknown { retry_after_ms: None }, nonsense(what))
    }

    fn unknown(&self, reason: Reason) -> Indefinite {
        self.not_definite(Unclear::Unknown { retry_after_ms: self.retry_after_ms }, reason)
    }

    fn not_definite(&self, unclear: Unclear, reason: Reason) -> Indefinite {
        let body = self.body.as_ref().ok();
        let form = Form {
            status: Some(self.status.as_u16()),
            content_type: self.content_type.as_deref().map(|name| name.chars().take(LONGEST_NAME).collect()),
            body_bytes: body.map(Vec::len),
            body_names: body.and_then(|body| names(body)),
        };
        Indefinite { unclear, reason, form: Box::new(form) }
    }

    /// Whether the body of a conflict names a request under the same key that is not finished: `…in_progress`, or `…in_use`, in
    /// `type`, `code` or `status`, or in the first two of an `error`.
    fn says_in_progress(&self) -> bool {
        let body: Option<Value> = self.body.as_ref().ok().and_then(|body| serde_json::from_slice(body).ok());
        let Some(body) = body else { return false };
        let named = ["/type", "/code", "/status", "/error/type", "/error/code"];
        named.iter().filter_map(|path| body.pointer(path)?.as_str()).any(|name| {
            let name = name.to_ascii_lowercase().replace('-', "_");
            name.ends_with("in_progress") || name.ends_with("in_use")
        })
    }
}

/// The names of the fields of a JSON object, in one line.
fn names(body: &[u8]) -> Option<String> {
    let Value::Object(fields) = serde_json::from_slice(body).ok()? else { return None };
    let short = |name: &String| name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect::<String>();
    Some(fields.keys().take(MAX_NAMES).map(short).collect::<Vec<_>>().join(" "))
}

/// What is definite, or else what it is; with an alarm, where an operator must look.
pub(super) fn reply<A>(
    claim_id: &str,
    request: &'static str,
    definite: Result<A, Indefinite>,
    not_definite: impl FnOnce(Unclear) -> A,
) -> Reply<A> {
    match definite {
        Ok(answer) => Reply::answered(answer),
        Err(Indefinite { unclear, reason, form }) => {
            let Form { status, content_type, body_bytes, body_names } = *form;
            let reason_name = reason.name;
            metrics::counter!("gateway_indefinite_total", "reason" => reason_name).increment(1);
            match reason.alarm {
                Some(what) => {
                    metrics::counter!("payment_alarms_total").increment(1);
                    tracing::error!(
                        claim_id,
                        request,
                        reason = reason_name,
                        status,
                        content_type,
                        body_bytes,
                        body_names,
                        "the payment gateway cannot be understood: {what}"
                    );
                }
                None => tracing::warn!(
                    claim_id,
                    request,
                    reason = reason_name,
                    status,
                    content_type,
                    body_bytes,
                    body_names,
                    "gateway answer not definite"
                ),
            }
            let in_words = match (reason.alarm, status) {
                (Some(what), _) => what.to_owned(),
                (None, Some(status)) if status >= 300 => status.to_string(),
                (None, _) => reason_name.to_owned(),
            };
            Reply { answer: not_definite(unclear), sign: reason.sign, unclear: Some(in_words) }
        }
    }
}

/// How long the gateway demands to be left alone, in milliseconds: `Retry-After` in seconds, or as a time of its own clock.
fn retry_after_ms(headers: &HeaderMap, longest: Duration) -> Option<u64> {
    let header = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let demanded = header("retry-after")?;
    let seconds = demanded.parse().ok().or_else(|| {
        let time = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
        let now = header("date").and_then(time).unwrap_or_else(Timestamp::now);
        u64::try_from(time(demanded)?.duration_since(now).as_secs()).ok()
    })?;
    u64::try_from(Duration::from_secs(seconds).min(longest).as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_body_only_the_names_of_its_fields_are_shown() {
        assert_eq!(names(br#"{"code": {"inner": 1}, "status": "secret"}"#).as_deref(), Some("code status"));
        assert_eq!(names(b"[1]"), None);
        assert_eq!(names(b"<html>"), None);
        let long: String = format!(r#"{{"{}": 1}}"#, "n".repeat(500));
        assert_eq!(names(long.as_bytes()).map(|names| names.len()), Some(LONGEST_NAME));
    }
}
