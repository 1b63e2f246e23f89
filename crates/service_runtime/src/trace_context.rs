//! The place of a request in a trace, as in the W3C header `traceparent`. Nothing exports spans, so a request's span is its id
//! and no more.

use nanoid::rngs::thread_local as random;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanId, TraceContextExt, TraceFlags, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::collections::HashMap;

/// A span, in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: TraceFlags,
}

impl TraceContext {
    /// A new span in the trace that a caller's `traceparent` names; in a trace of its own where there is no header or a malformed
    /// one, as W3C demands.
    pub fn of_request(traceparent: Option<&str>) -> Self {
        let (trace_id, flags) =
            traceparent.and_then(trace_of).unwrap_or_else(|| (TraceId::from_bytes(random_id()), TraceFlags::SAMPLED));
        Self { trace_id, span_id: SpanId::from_bytes(random_id()), flags }
    }

    /// The header that names this span, for what it causes.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// The trace that a header names, and whether its spans are recorded.
fn trace_of(traceparent: &str) -> Option<(TraceId, TraceFlags)> {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    let span = context.span();
    let caller = span.span_context();
    caller.is_valid().then(|| (caller.trace_id(), caller.trace_flags() & TraceFlags::SAMPLED))
}

/// Random bytes: all zeros, which name nothing, do not come up.
fn random_id<const BYTES: usize>() -> [u8; BYTES] {
    let mut id = [0; BYTES];
    id.copy_from_slice(&random(BYTES));
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_request_is_a_new_span_in_its_callers_trace() {
        for flags in ["00", "01"] {
            let caller = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let own = TraceContext::of_request(Some(&caller)).traceparent();
            assert_eq!((&own[..36], &own[53..]), (&caller[..36], flags), "{own}");
            assert_ne!(own, caller);
        }
        let later_version = TraceContext::of_request(Some(&format!("cc-{TRACE}-00f067aa0ba902b7-01-more")));
        assert!(later_version.traceparent().starts_with(&format!("00-{TRACE}-")));
    }

    #[test]
    fn without_a_header_or_with_a_malformed_one_a_trace_begins() {
        let malformed = [
            "",
            "00",
            "nonsense",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ];
        for header in malformed.map(Some).into_iter().chain([None]) {
            let traceparent = TraceContext::of_request(header).traceparent();
            assert!(!traceparent.contains(TRACE), "{header:?} gives {traceparent}");
            assert!(trace_of(&traceparent).is_some() && traceparent.ends_with("-01"), "{traceparent}");
        }
    }
}
