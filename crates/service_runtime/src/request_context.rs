//! Gives every request an id, a duration and a place in its caller's trace, in the response headers and in the log.

use crate::telemetry;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time-ms");
const LONGEST_FOREIGN_ID: usize = 64;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the current request; `None` outside of a request.
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The middleware, for `actix_web::middleware::from_fn`.
///
/// A caller's own `x-request-id` is kept if it is 1 to 64 letters, digits, `-`, `_` or `.`; any other is replaced,
/// so that a caller cannot forge a log line.
///
/// # Errors
/// The error of the handler.
pub async fn track(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let id = request_id(&request);
    let method = method_name(request.method());
    // The pattern and not the path, which may contain anything.
    let route = request.match_pattern().unwrap_or_else(|| "(no such route)".to_owned());
    let span = tracing::info_span!("request", request_id = %id, method, route);
    if let Some(traceparent) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
        telemetry::continue_trace(&span, traceparent);
    }
    // The call itself is inside the scope, because a middleware may answer before it returns a future.
    let called = CURRENT.scope(id.clone(), async { next.call(request).await }).instrument(span.clone()).await;
    let mut response = called?;
    let elapsed = started.elapsed();
    let elapsed_ms = format!("{:.3}", elapsed.as_secs_f64() * 1000.0);
    let status = response.status();
    span.in_scope(|| {
        let status = status.as_u16();
        // Readiness is polled all the time, and `health` logs its changes.
        if matches!(route.as_str(), "/healthz" | "/readyz" | "/metrics") {
            tracing::debug!(status, elapsed_ms = %elapsed_ms, "answered");
        } else if status >= 500 {
            tracing::warn!(status, elapsed_ms = %elapsed_ms, "answered");
        } else {
            tracing::info!(status, elapsed_ms = %elapsed_ms, "answered");
        }
    });
    metrics::histogram!("http_request_seconds", "method" => method, "route" => route, "status" => status.as_u16().to_string())
        .record(elapsed);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Ok(value) = HeaderValue::from_str(&elapsed_ms) {
        headers.insert(PROCESS_TIME, value);
    }
    Ok(response)
}

/// The name of a standard method. A caller may invent others, each of which would stay a label of the metrics for ever.
fn method_name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"].into_iter();
    known.into_iter().find(|known| method == known).unwrap_or("another")
}

fn request_id(request: &ServiceRequest) -> String {
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=LONGEST_FOREIGN_ID).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        })
        .map_or_else(|| nanoid::nanoid!(), str::to_owned)
}
