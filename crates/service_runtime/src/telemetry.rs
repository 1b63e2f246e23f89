//! Logs and traces. Every span has a W3C trace id, so that a claim can be followed through both services' logs and
//! through the `traceparent` header of its events.

use anyhow::Context;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::IsTerminal;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use validator::Validate;

/// What is logged, and how.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// `text` for people, `json` for collectors.
    #[validate(custom(function = "known_format"))]
    pub format: String,
    /// What to log, as in `info` or `warn,event_bus=debug`.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: "text".to_owned(), filter: "info,actix_server=warn".to_owned() }
    }
}

fn known_format(format: &str) -> Result<(), validator::ValidationError> {
    if matches!(format, "text" | "json") {
        Ok(())
    } else {
        Err(validator::ValidationError::new("format").with_message("must be text or json".into()))
    }
}

/// Starts logging to standard output. Called once, by `main`.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start(service: &'static str, settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter)
        .with_context(|| format!("the log filter cannot be read (write info, or warn,{service}=debug)"))?;
    let lines = if settings.format == "json" {
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true).boxed()
    } else {
        tracing_subscriber::fmt::layer().with_target(false).with_ansi(std::io::stdout().is_terminal()).compact().boxed()
    };
    opentelemetry::global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    let traces = SdkTracerProvider::builder().build().tracer(service);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(tracing_opentelemetry::layer().with_tracer(traces))
        .try_init()
        .context("logging could not be started")
}

/// Makes `span` a child of the caller's span that `traceparent` names; a malformed value is ignored, as W3C asks.
pub fn continue_trace(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
    if context.span().span_context().is_valid() {
        // Fails only where no OpenTelemetry layer is installed, as in tests: then there is no trace to continue.
        let _ = span.set_parent(context);
    }
}

/// The current span as a `traceparent` header, to be carried by an event.
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    let context = Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut carrier));
    carrier.remove("traceparent")
}
