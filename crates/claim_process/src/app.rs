//! Puts the service together, runs it, and stops it in order.

use crate::db;
use crate::domain::rules::{Limits, RuleBook};
use crate::events::{outcomes::Outcomes, watchdog};
use crate::http::{self, Api, TopProvidersLimit};
use crate::ingest;
use crate::settings::Settings;
use actix_web::dev::Server;
use actix_web::{App, HttpServer, middleware::from_fn, web};
use claim_events::PAYMENT_TOPIC;
use dual_db::Database;
use event_bus::{Consumer, Relay};
use service_runtime::background::{Pace, Periodic};
use service_runtime::health::Health;
use service_runtime::{health, http_server, metrics, problem, request_context};
use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the rate limiter forgets idle clients.
const FORGET_CLIENTS_EVERY: Duration = Duration::from_secs(60);

/// The running service.
#[allow(missing_debug_implementations)]
pub struct Application {
    port: u16,
    server: Server,
    health: Health,
    ingest_writer: JoinHandle<()>,
    consumer: Consumer,
    relay: Arc<Relay>,
    periodic: Vec<Periodic>,
}

/// Opens the database and applies what is missing of its migrations.
///
/// # Errors
/// One sentence for the operator.
pub fn open_database(settings: &Settings) -> Result<Database, String> {
    let database = Database::open(&settings.database).map_err(|error| error.to_string())?;
    database.migrate(&[&event_bus::MIGRATIONS, &db::MIGRATIONS]).map_err(|error| error.to_string())?;
    Ok(database)
}

impl Application {
    /// Builds the service and binds its port (0 takes a free one). Kafka need not be there yet; until it answers, the
    /// service is not ready.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub fn build(settings: Settings) -> Result<Self, String> {
        metrics::install();
        let listener = http_server::bind(&settings.http)?;
        let port = listener.local_addr().map_err(|error| format!("the bound port is not known ({error})"))?.port();
        let database = open_database(&settings)?;
        let relay = Relay::start(&database, &settings.kafka)?;
        let (ingest, ingest_writer) =
            ingest::start(database.clone(), Arc::clone(&relay), &settings.ingest, &settings.watchdog);
        let outcomes = Outcomes::new(database.clone(), Arc::clone(&relay));
        let consumer = Consumer::start(&settings.kafka, PAYMENT_TOPIC, database.clone(), outcomes)?;

        let health = Health::default();
        let limit = TopProvidersLimit::per_minute(settings.query.top_providers_per_minute);
        let periodic = vec![
            watchdog::start(database.clone(), Arc::clone(&relay), settings.watchdog.clone()),
            watch_database(&health, &database, &settings),
            watch_kafka(&health, &relay, &settings),
            forget_idle_clients(&limit),
        ];

        let rules = RuleBook::new(settings.rules.clone(), Limits { max_lines: settings.ingest.max_lines });
        let http_settings = settings.http.clone();
        let api = Api::new(ingest, rules, settings, database);
        let shared_health = health.clone();
        let server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(request_context::track))
                .app_data(web::Data::new(shared_health.clone()))
                .configure(health::routes)
                .configure(metrics::routes)
                .configure(|config| http::routes(config, &api, &limit))
                .default_service(web::to(problem::no_such_route))
        })
        .workers(http_settings.workers)
        .client_request_timeout(Duration::from_millis(http_settings.header_timeout_ms))
        .shutdown_timeout(http_settings.shutdown_timeout_s)
        .disable_signals()
        .listen(listener)
        .map_err(|error| format!("the HTTP server could not be started ({error})"))?
        .run();
        tracing::info!(port, "claim_process listens");
        Ok(Self { port, server, health, ingest_writer, consumer, relay, periodic })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs until `stop` is there, then stops in order: not ready, no new requests, requests in hand, writer, consumer,
    /// messages on their way.
    ///
    /// # Errors
    /// One sentence when the server failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let handle = self.server.handle();
        let serving = tokio::spawn(self.server);
        stop.await;
        tracing::info!("stopping");
        self.health.set("this instance", Err("stopping".to_owned()));
        handle.stop(true).await;
        let served = serving.await;
        let left = web::block(move || {
            let left = self.consumer.stop();
            drop(self.periodic);
            // The server's workers held the only ways to the writer, so it ends by itself.
            let _ = self.ingest_writer.join();
            self.relay.stop();
            left
        })
        .await
        .map_err(|error| format!("stopping broke off ({error})"))?;
        tracing::info!("stopped");
        match served {
            Ok(Ok(())) if left => Ok(()),
            Ok(Ok(())) => Err("the consumer did not leave its group in time".to_owned()),
            Ok(Err(error)) => Err(format!("the HTTP server failed ({error})")),
            Err(error) => Err(format!("the HTTP server failed ({error})")),
        }
    }
}

fn watch_database(health: &Health, database: &Database, settings: &Settings) -> Periodic {
    let database = database.clone();
    health.watch("database", Duration::from_millis(settings.kafka.health_interval_ms), move || {
        database.ping().map_err(|_| "the database does not answer".to_owned())
    })
}

fn watch_kafka(health: &Health, relay: &Arc<Relay>, settings: &Settings) -> Periodic {
    let relay = Arc::clone(relay);
    health.watch("kafka", Duration::from_millis(settings.kafka.health_interval_ms), move || relay.check())
}

fn forget_idle_clients(limit: &TopProvidersLimit) -> Periodic {
    let limit = limit.clone();
    Periodic::spawn("rate limiter", FORGET_CLIENTS_EVERY, move || {
        limit.forget_idle_clients();
        Pace::Pause
    })
}
