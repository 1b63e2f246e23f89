//! Problems that more than one route returns.

use actix_web::http::StatusCode;
use serde_json::Value;
use service_runtime::problem::Problem;

/// The `Retry-After` of a throttled request, in seconds.
pub(super) const RETRY_AFTER_S: u64 = 1;

/// 409: the key was used with another body.
pub(super) fn key_reused() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "key-reused",
        "The idempotency key was used with another body",
        "this Idempotency-Key was used with another body before: send the same body again, or use a new key",
    )
}

/// 409: a request with the key is in progress.
pub(super) fn in_progress() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "request-in-progress",
        "A request with this key is in progress",
        "another request with this Idempotency-Key is in progress: send the same request again",
    )
    .retry_after(RETRY_AFTER_S)
}

/// 401: the payer is not known.
pub(super) fn unauthorized() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "The credentials are not accepted",
        "send Authorization: Bearer with the key that the gateway has for you",
    )
}

/// 422 with all findings.
pub(super) fn invalid(findings: Vec<Value>) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid",
        "The request is not valid",
        "fields of the request are missing or wrong: see `errors`",
    )
    .with("errors", findings)
}
