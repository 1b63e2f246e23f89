//! Builds the gateway from its settings and runs it until it is stopped.

use crate::db::MIGRATIONS;
use crate::http;
use crate::http::gate::Gate;
use crate::settings::Settings;
use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use dual_db::{Database, DatabaseSettings};
use service_runtime::background::Periodic;
use service_runtime::health::Health;
use service_runtime::{health, http_server, metrics, request_context};
use std::time::Duration;

/// How often readiness asks the database.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);

/// How long an idle connection is kept: a payer that reuses one just as it is closed would not know what became of its
/// request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// A gateway that is bound to its port.
#[allow(missing_debug_implementations)]
pub struct Application {
    port: u16,
    server: Server,
    _database_health: Periodic,
}

impl Application {
    /// Opens the book, brings its tables up to date and binds the port. Called inside an async runtime.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub fn build(settings: Settings) -> Result<Self, String> {
        metrics::install();
        let database = open_book(&settings.database)?;
        let listener = http_server::bind(&settings.http)?;
        let port =
            listener.local_addr().map_err(|error| format!("the port that was bound cannot be told ({error})"))?.port();

        let readiness = Health::default();
        let database_health = readiness.watch("database", HEALTH_INTERVAL, {
            let database = database.clone();
            move || database.ping().map_err(|error| error.to_string())
        });

        let gate = web::Data::new(Gate::new(database, &settings.behaviour));
        let readiness = web::Data::new(readiness);
        let http_settings = web::Data::new(settings.http.clone());
        let server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(request_context::track))
                .app_data(gate.clone())
                .app_data(readiness.clone())
                .app_data(http_settings.clone())
                .configure(health::routes)
                .configure(metrics::routes)
                .configure(http::routes)
        })
        .workers(settings.http.workers)
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        .client_request_timeout(Duration::from_millis(settings.http.header_timeout_ms))
        .shutdown_timeout(settings.http.shutdown_timeout_s)
        .listen(listener)
        .map_err(|error| format!("the port cannot be listened on ({error})"))?
        .run();
        tracing::info!("listens on http://{}:{port}", settings.http.host);
        Ok(Self { port, server, _database_health: database_health })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves until a signal or [`handle`](Self::handle) stops it; requests in hand are finished first.
    ///
    /// # Errors
    /// A sentence when the server breaks.
    pub async fn run_until_stopped(self) -> Result<(), String> {
        self.server.await.map_err(|error| format!("the HTTP server broke ({error})"))
    }
}

/// Opens the database and brings its tables up to date.
///
/// # Errors
/// One sentence that says what to do.
pub fn open_book(settings: &DatabaseSettings) -> Result<Database, String> {
    let database = Database::open(settings).map_err(|error| error.to_string())?;
    database.migrate(&[&MIGRATIONS]).map_err(|error| error.to_string())?;
    Ok(database)
}
