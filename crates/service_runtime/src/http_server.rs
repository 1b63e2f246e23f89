//! The HTTP server of a service: its settings, its port, its life, and reading a body within its limits.

use crate::health::{self, Health};
use crate::metrics;
use crate::problem::{self, Problem};
use crate::request_context;
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, BytesMut, Payload};
use actix_web::{App, HttpServer};
use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::future::Future;
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
    #[validate(range(min = 1, max = 1_073_741_824, message = "must be 1 to 1073741824"))]
    pub max_body_bytes: usize,
    /// How long an idle connection is kept, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub keep_alive_ms: u64,
    /// How long a client may take to send its headers, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub header_timeout_ms: u64,
    /// How long a client may take to send its whole body, in milliseconds.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub body_timeout_ms: u64,
    /// How long a stopping service lets requests in hand finish, in seconds.
    #[validate(range(min = 1, max = 3_600, message = "must be 1 to 3600"))]
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
            keep_alive_ms: 75_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            shutdown_timeout_s: 10,
        }
    }
}

/// A port that is bound and not served yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    port: u16,
    settings: HttpSettings,
}

/// Binds the port.
///
/// # Errors
/// When the port is in use or cannot be bound, with what to do.
pub fn bind(settings: &HttpSettings) -> anyhow::Result<Bound> {
    let (host, port) = (settings.host.as_str(), settings.port);
    let listener = TcpListener::bind((host, port)).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "port {port} on {host} is in use (stop what uses it or choose another port with the setting http.port)"
            ),
            _ => format!("{host}:{port} cannot be bound (check the settings http.host and http.port)"),
        };
        anyhow::Error::new(error).context(what)
    })?;
    let port = listener.local_addr().context("the bound port is not known")?.port();
    Ok(Bound { listener, port, settings: settings.clone() })
}

impl Bound {
    /// The port; a free one was taken where the settings say 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves `routes`, to whose health routes it gives `health`. The server runs once it is awaited, as [`run_until`] does.
    ///
    /// # Errors
    /// When the server cannot be started.
    pub fn serve(
        self,
        health: &Health,
        routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> anyhow::Result<Server> {
        let Self { listener, port, settings } = self;
        metrics::install();
        health.start_reporting();
        let health = web::Data::new(health.clone());
        let server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(request_context::track))
                .app_data(health.clone())
                .configure(routes.clone())
                .default_service(web::to(problem::no_such_route))
        })
        .workers(settings.workers)
        .keep_alive(Duration::from_millis(settings.keep_alive_ms))
        .client_request_timeout(Duration::from_millis(settings.header_timeout_ms))
        .shutdown_timeout(settings.shutdown_timeout_s)
        .disable_signals()
        .listen(listener)
        .context("the HTTP server could not be started")?
        .run();
        tracing::info!("listens on http://{}:{port}", settings.host);
        Ok(server)
    }
}

/// Runs a server until `stop` is there, then stops in order: not ready, no new requests, requests in hand, and at last
/// `wind_down`, on a thread that may block: whatever the requests were handed to.
///
/// # Errors
/// When the server broke or winding down failed.
pub async fn run_until(
    server: Server,
    health: &Health,
    stop: impl Future<Output = ()>,
    wind_down: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    let broke = tokio::select! {
        () = stop => false,
        _ = &mut serving => true,
    };
    tracing::info!("stopping");
    health.set(health::THIS_INSTANCE, Err("stopping".to_owned()));
    if !broke {
        handle.stop(true).await;
        // It was asked to stop, so the way it ended has no meaning.
        let _ = serving.await;
    }
    web::block(wind_down).await.context("stopping broke off")??;
    tracing::info!("stopped");
    if broke { Err(anyhow!("the HTTP server broke off: the log may say why")) } else { Ok(()) }
}

/// How long the rest of a body that was refused is held unread, so that its connection is closed behind the answer.
const HOLD_UNREAD_BODY: Duration = Duration::from_secs(1);

/// Reads a whole body within the settings' limits. The connection of a sender who keeps to none is closed behind the
/// answer.
///
/// # Errors
/// 413 for one that is too large, 408 for one that takes too long, 400 for one that breaks off.
pub async fn read_body(mut payload: Payload, settings: &HttpSettings) -> Result<Bytes, Problem> {
    let reading = read_up_to(&mut payload, settings.max_body_bytes);
    let problem = match tokio::time::timeout(Duration::from_millis(settings.body_timeout_ms), reading).await {
        Ok(Ok(body)) => return Ok(body),
        Ok(Err(problem)) => problem,
        Err(_) => too_slow(format!("a body must arrive within {} ms: send it again", settings.body_timeout_ms)),
    };
    close_behind(payload);
    Err(problem)
}

/// Sees to it that the connection is closed behind the answer to a request whose body is not read to its end. actix waits
/// for the end of a chunked body that was dropped, however long that takes; behind one that is still held it closes the
/// connection.
pub fn close_behind(payload: impl Sized + 'static) {
    actix_web::rt::spawn(async move {
        tokio::time::sleep(HOLD_UNREAD_BODY).await;
        drop(payload);
    });
}

/// A body that came too slowly.
pub fn too_slow(detail: String) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The body took too long", detail)
}

/// A body that is larger than it may be.
pub fn too_large(detail: String) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
}

async fn read_up_to(payload: &mut Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("the body broke off before its end: send it again"))?;
        if body.len() + more.len() + chunk.len() > limit {
            return Err(too_large(format!("a body may have at most {limit} bytes: send less in one request")));
        }
        // Most bodies come in one piece, which is not copied.
        if body.is_empty() {
            body = chunk;
        } else {
            more.extend_from_slice(&chunk);
        }
    }
    if more.is_empty() {
        return Ok(body);
    }
    Ok([body, more.freeze()].concat().into())
}
