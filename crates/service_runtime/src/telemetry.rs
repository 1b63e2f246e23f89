//! Logs: what is logged, and how it is written.

use crate::log_writer::LogWriter;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
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

/// Starts logging to standard output. Called once, by `main`, which flushes the writer at its end.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start(service: &'static str, settings: &LogSettings) -> anyhow::Result<LogWriter> {
    let filter = EnvFilter::try_new(&settings.filter)
        .with_context(|| format!("the log filter cannot be read (write info, or warn,{service}=debug)"))?;
    let stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    let writer = LogWriter::start(stdout);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer.clone());
    let lines = if settings.format == "json" {
        lines.json().flatten_event(true).with_current_span(true).boxed()
    } else {
        lines.with_target(false).with_ansi(is_terminal).compact().boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("logging could not be started")?;
    Ok(writer)
}
