//! Settings of an HTTP server, binding its port, and reading a body within its limits.

use crate::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::net::TcpListener;
use std::time::Duration;
use validator::Validate;

/// Where a service listens and how long it puts up with slow clients.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// The address to bind.
    #[validate(length(min = 1, message = "name an address, for example 127.0.0.1"))]
    pub host: String,
    /// The port to bind; 0 takes a free one.
    pub port: u16,
    /// Threads that serve requests.
    #[validate(range(min = 1, max = 256, message = "must be 1 to 256"))]
    pub workers: usize,
    /// The largest body, in bytes.
    #[validate(range(min = 1, message = "must be at least 1"))]
    pub max_body_bytes: usize,
    /// How long a client may take to send its headers, in milliseconds.
    #[validate(range(min = 1, message = "must be at least 1"))]
    pub header_timeout_ms: u64,
    /// How long a client may take to send its whole body, in milliseconds.
    #[validate(range(min = 1, message = "must be at least 1"))]
    pub body_timeout_ms: u64,
    /// How long a stopping service lets requests in hand finish, in seconds.
    #[validate(range(min = 1, message = "must be at least 1"))]
    pub shutdown_timeout_s: u64,
}

impl HttpSettings {
    /// The defaults, on a loopback port.
    pub fn on_port(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            workers: 2,
            max_body_bytes: 1024 * 1024,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            shutdown_timeout_s: 10,
        }
    }
}

/// Binds the port.
///
/// # Errors
/// One sentence that says what to do.
pub fn bind(settings: &HttpSettings) -> Result<TcpListener, String> {
    TcpListener::bind((settings.host.as_str(), settings.port)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "port {} on {} is in use: stop what uses it or choose another port with the setting http.port",
            settings.port, settings.host
        ),
        _ => format!(
            "{}:{} cannot be bound ({error}): check the settings http.host and http.port",
            settings.host, settings.port
        ),
    })
}

/// Reads a whole body within the settings' limits.
///
/// # Errors
/// 413 for one that is too large, 408 for one that takes too long, 400 for one that breaks off.
pub async fn read_body(mut payload: Payload, settings: &HttpSettings) -> Result<Bytes, Problem> {
    let limit = settings.max_body_bytes;
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::malformed("the body broke off before its end: send it again"))?;
            if body.len() + chunk.len() > limit {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too-large",
                    "The body is too large",
                    format!("a body may have at most {limit} bytes: send fewer lines in one request"),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    match tokio::time::timeout(Duration::from_millis(settings.body_timeout_ms), reading).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "The body took too long",
            format!("a body must arrive within {} ms: send it again", settings.body_timeout_ms),
        )),
    }
}
