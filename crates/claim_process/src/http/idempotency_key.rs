//! The header `Idempotency-Key`.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use service_runtime::problem::Problem;

const LONGEST_KEY: usize = 255;

/// The key that a request has, if it has one.
pub(super) fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::malformed("the Idempotency-Key was sent more than once: send one"));
    }
    let key = value.to_str().ok().map(str::trim);
    let key =
        key.filter(|key| (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Problem::malformed(format!(
            "the Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters, and none of them a blank or a tab"
        ))
    })
}

/// What came before with the same `Idempotency-Key` was something else.
pub(super) fn key_reused(detail: impl Into<String>) -> Problem {
    let title = "The Idempotency-Key was used before";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title, detail)
}
