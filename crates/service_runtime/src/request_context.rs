//! Gives every request an id, a duration and a place in its caller's trace, in the response headers and in the log.

use crate::trace_context::TraceContext;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use metrics::{Histogram, histogram};
use nanoid::{alphabet, rngs};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time-ms");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const LONGEST_FOREIGN_ID: usize = 64;
const OWN_ID_LENGTH: usize = 21;

struct Current {
    id: String,
    trace: TraceContext,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// The id of the current request; `None` outside of a request.
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(|current| current.id.clone()).ok()
}

/// The current request as a `traceparent` header, for an event that it causes; `None` outside of a request.
pub fn current_traceparent() -> Option<String> {
    CURRENT.try_with(|current| current.trace.traceparent()).ok()
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
    let id = request_id(request.headers());
    let id_header = HeaderValue::from_str(&id);
    let method = method_name(request.method());
    // The pattern and not the path, which may contain anything.
    let route = request.match_pattern().unwrap_or_else(|| "(no such route)".to_owned());
    let span = tracing::info_span!("request", request_id = %id, method, route);
    let trace = TraceContext::of_request(request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()));
    // The call itself is inside the scope, because a middleware may answer before it returns a future.
    let called = CURRENT.scope(Current { id, trace }, async { next.call(request).await });
    let mut response = called.instrument(span.clone()).await?;
    let elapsed = started.elapsed();
    let elapsed_ms = format!("{:.3}", elapsed.as_secs_f64() * 1000.0);
    let status = response.status();
    // A request that is turned away under load is no fault, and would come with thousands like it.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        span.in_scope(|| tracing::warn!(status = status.as_u16(), elapsed_ms = %elapsed_ms, "answered"));
    } else {
        span.in_scope(|| tracing::debug!(status = status.as_u16(), elapsed_ms = %elapsed_ms, "answered"));
    }
    durations(method, route, status).record(elapsed);
    let headers = response.headers_mut();
    if let Ok(value) = id_header {
        headers.insert(REQUEST_ID, value);
    }
    if let Ok(value) = HeaderValue::try_from(elapsed_ms) {
        headers.insert(PROCESS_TIME, value);
    }
    Ok(response)
}

thread_local! {
    /// The metric of each kind of request, because looking it up by its labels costs more than recording a value. There are as
    /// many as routes with their methods and statuses.
    static DURATIONS: RefCell<HashMap<(String, &'static str, StatusCode), Histogram>> = RefCell::default();
}

/// The metric of the durations of such requests.
fn durations(method: &'static str, route: String, status: StatusCode) -> Histogram {
    DURATIONS.with_borrow_mut(|durations| {
        let kind = durations.entry((route, method, status));
        let metric = kind.or_insert_with_key(|(route, ..)| {
            histogram!("http_request_seconds", "method" => method, "route" => route.clone(), "status" => status.as_str().to_owned())
        });
        metric.clone()
    })
}

/// The name of a standard method. A caller may invent others, each of which would stay a label of the metrics for ever.
fn method_name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"].into_iter();
    known.into_iter().find(|known| method == known).unwrap_or("another")
}

fn request_id(headers: &HeaderMap) -> String {
    let is_fit = |id: &&str| {
        (1..=LONGEST_FOREIGN_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let foreign = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_fit);
    // The generator of the thread: one from the operating system for each request would be the dearest part of an id.
    foreign.map_or_else(|| nanoid::format(rngs::thread_local, &alphabet::SAFE, OWN_ID_LENGTH), str::to_owned)
}
