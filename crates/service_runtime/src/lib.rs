//! The edges of a process: settings, telemetry, problem+json, request ids, health and the HTTP server.
//!
//! Everything a long-running service needs whatever it is about; it knows nothing of claims.

pub mod api;
mod api_viewer;
pub mod client_address;
pub mod command_line;
pub mod database_gate;
pub mod health;
pub mod http_server;
mod log_writer;
pub mod metrics;
pub mod page;
pub mod probe;
pub mod problem;
pub mod query;
pub mod request_context;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
mod trace_context;
