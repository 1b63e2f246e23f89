//! Puts the service together, runs it, and stops it in order.

use crate::db;
use crate::events::claims::Claims;
use crate::executor::Executor;
use crate::gateway::{Dispatcher, Gateway, HttpGateway};
use crate::http;
use crate::settings::Settings;
use crate::worker::{self, AnswerWriter};
use actix_web::dev::Server;
use actix_web::{App, HttpServer, middleware::from_fn, web};
use claim_events::CLAIM_TOPIC;
use dual_db::Database;
use event_bus::{Consumer, Relay};
use service_runtime::background::Periodic;
use service_runtime::health::Health;
use service_runtime::reader::Reader;
use service_runtime::{health, http_server, metrics, problem, request_context};
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Reads that may wait for the database at once.
const MAX_WAITING_READS: usize = 64;
/// Threads that make gateway calls; a call costs them little but waiting.
const CALLING_THREADS: usize = 2;

/// The running service.
#[allow(missing_debug_implementations)]
pub struct Application {
    port: u16,
    server: Server,
    health: Health,
    consumer: Consumer,
    answer_writer: AnswerWriter,
    relay: Arc<Relay>,
    periodic: Vec<Periodic>,
    calls: Runtime,
    drain_timeout: Duration,
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
    /// Builds the service and binds its port (0 takes a free one). Neither Kafka nor the gateway need be there yet; until
    /// they answer, the service is not ready.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub fn build(settings: Settings) -> Result<Self, String> {
        metrics::install();
        let listener = http_server::bind(&settings.http)?;
        let port = listener.local_addr().map_err(|error| format!("the bound port is not known ({error})"))?.port();
        let database = open_database(&settings)?;
        let relay = Relay::start(&database, &settings.kafka)?;
        let gateway = Arc::new(HttpGateway::new(&settings.gateway)?);
        let calls = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CALLING_THREADS)
            .thread_name("gateway calls")
            .enable_all()
            .build()
            .map_err(|error| format!("the threads for gateway calls could not be started ({error})"))?;

        let settings = Arc::new(settings);
        let worker_name = nanoid::nanoid!(10);
        let executor = Executor::new(database.clone(), Arc::clone(&relay), Arc::clone(&settings), worker_name);
        let (answers, answered) = channel();
        let dispatcher = Dispatcher::new(Arc::clone(&gateway), calls.handle().clone(), &settings, answers);
        let answer_writer = AnswerWriter::start(executor.clone(), dispatcher.clone(), answered, &settings.saga);
        let claims = Claims::new(executor.clone(), dispatcher.clone());
        let consumer = Consumer::start(&settings.kafka, CLAIM_TOPIC, database.clone(), claims)?;

        let health = Health::default();
        let every = Duration::from_millis(settings.kafka.health_interval_ms);
        let periodic = vec![
            worker::start_resuming(executor, dispatcher, &settings.saga),
            watch_database(&health, &database, every),
            watch_kafka(&health, &relay, every),
            watch_gateway(&health, gateway, &calls, every),
        ];

        let reader = Reader::new(database, MAX_WAITING_READS);
        let shared_health = health.clone();
        let server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(request_context::track))
                .app_data(web::Data::new(shared_health.clone()))
                .configure(health::routes)
                .configure(metrics::routes)
                .configure(|config| http::routes(config, &reader))
                .default_service(web::to(problem::no_such_route))
        })
        .workers(settings.http.workers)
        .client_request_timeout(Duration::from_millis(settings.http.header_timeout_ms))
        .shutdown_timeout(settings.http.shutdown_timeout_s)
        .disable_signals()
        .listen(listener)
        .map_err(|error| format!("the HTTP server could not be started ({error})"))?
        .run();
        tracing::info!(port, "payments listens");
        let drain_timeout = Duration::from_millis(settings.saga.drain_timeout_ms);
        Ok(Self { port, server, health, consumer, answer_writer, relay, periodic, calls, drain_timeout })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs until `stop` is there, then stops in order: not ready, no new claims, calls in hand, messages on their way.
    ///
    /// # Errors
    /// One sentence when the server failed.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let handle = self.server.handle();
        let serving = tokio::spawn(self.server);
        stop.await;
        tracing::info!("stopping");
        self.health.set("this instance", Err("stopping".to_owned()));
        let left = web::block(move || {
            let left = self.consumer.stop();
            drop(self.periodic);
            self.answer_writer.drain(self.drain_timeout);
            self.calls.shutdown_background();
            self.relay.stop();
            left
        })
        .await
        .map_err(|error| format!("stopping broke off ({error})"))?;
        handle.stop(true).await;
        let served = serving.await;
        tracing::info!("stopped");
        match served {
            Ok(Ok(())) if left => Ok(()),
            Ok(Ok(())) => Err("the consumer did not leave its group in time".to_owned()),
            Ok(Err(error)) => Err(format!("the HTTP server failed ({error})")),
            Err(error) => Err(format!("the HTTP server failed ({error})")),
        }
    }
}

fn watch_database(health: &Health, database: &Database, every: Duration) -> Periodic {
    let database = database.clone();
    health.watch("database", every, move || database.ping().map_err(|_| "the database does not answer".to_owned()))
}

fn watch_kafka(health: &Health, relay: &Arc<Relay>, every: Duration) -> Periodic {
    let relay = Arc::clone(relay);
    health.watch("kafka", every, move || relay.check())
}

fn watch_gateway(health: &Health, gateway: Arc<HttpGateway>, calls: &Runtime, every: Duration) -> Periodic {
    let runtime = calls.handle().clone();
    health.watch("gateway", every, move || runtime.block_on(gateway.check()))
}
