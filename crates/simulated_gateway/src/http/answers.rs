//! Problems that more than one route answers with.

use actix_web::http::StatusCode;
use serde_json::Value;
use service_runtime::problem::Problem;

/// When a payer that is put off may come again, in seconds.
pub(super) const COME_AGAIN_AFTER_S: u64 = 1;

/// 409: the key stands for something else.
pub(super) fn key_reused() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "key-reused",
        "The idempotency key was used for something else",
        "this Idempotency-Key came before with another body: send the same body again, or use a new key",
    )
}

/// 422: understood and refused, with everything that is wrong.
pub(super) fn invalid(findings: Vec<Value>) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid",
        "The request is not valid",
        "something in the request is missing or wrong: `errors` says what",
    )
    .with("errors", findings)
}
