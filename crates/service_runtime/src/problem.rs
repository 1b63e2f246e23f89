//! Errors as HTTP answers: RFC 9457 `application/problem+json`.
//!
//! The texts of a problem are for the client. Internal causes are logged where they happen; a 500 has only the request's id.

use crate::request_context;
use actix_web::http::StatusCode;
use actix_web::http::header::ALLOW;
use actix_web::{HttpResponse, ResponseError, Route, web};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use utoipa::ToSchema;

/// The content type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A problem detail. It must not contain amounts, names, queries or other internals.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    retry_after_s: Option<u64>,
    extensions: Map<String, Value>,
}

/// What went wrong, as in RFC 9457. A kind of problem may have more members, which its route describes.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// The kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(examples("urn:claims-to-payments:problem:malformed"))]
    kind: String,
    /// The kind of problem in words.
    title: &'a str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What to do about it.
    detail: &'a str,
    /// The request's id, as in the log.
    request_id: Option<String>,
    #[serde(flatten)]
    #[schema(ignore)]
    extensions: &'a Map<String, Value>,
}

impl Problem {
    /// A problem with a status, a stable kind (the last part of its `type`), a fixed title, and a detail for this occurrence.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), retry_after_s: None, extensions: Map::new() }
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be read", detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 500: the cause is in the log, under the request's id.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here",
            "the request was not carried out; quote the request_id when you ask about it",
        )
    }

    /// 503 with `Retry-After`.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available just now", detail)
            .retry_after(retry_after_s)
    }

    /// Adds `Retry-After`, in seconds; never 0, which clients read as "at once".
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }

    /// Adds a member beside the standard ones.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status.as_u16(), self.kind)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after_s {
            answer.insert_header(("retry-after", seconds.to_string()));
        }
        let body = self.body(request_context::current_request_id());
        answer.content_type(CONTENT_TYPE).body(serde_json::to_string(&body).unwrap_or_default())
    }
}

impl Problem {
    fn body(&self, request_id: Option<String>) -> ProblemBody<'_> {
        ProblemBody {
            kind: format!("urn:claims-to-payments:problem:{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id,
            extensions: &self.extensions,
        }
    }

    /// The problem as JSON, for a line in a response that has already begun.
    pub fn to_json(&self, request_id: Option<String>) -> Value {
        serde_json::to_value(self.body(request_id)).unwrap_or_default()
    }
}

/// The answer for an unknown route.
pub async fn no_such_route() -> HttpResponse {
    Problem::not_found("there is no such route").error_response()
}

/// The answer for an unsupported method, with the supported ones: `only("GET, POST")`.
pub fn only(allowed: impl Into<String>) -> Route {
    let allowed = allowed.into();
    web::to(move || {
        let mut answer = wrong_method_problem().error_response();
        if let Ok(value) = allowed.parse() {
            answer.headers_mut().insert(ALLOW, value);
        }
        async move { answer }
    })
}

fn wrong_method_problem() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "Not done this way", "this route has no such method")
}
