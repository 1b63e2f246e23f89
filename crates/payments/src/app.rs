//! Puts the service together, runs it, and stops it in order.

use crate::db;
use crate::db::restore_marker::{self, StoredMarker};
use crate::events::claims::Claims;
use crate::executor::Executor;
use crate::gateway::{Dispatcher, adapters};
use crate::http::{self, PaymentOperations};
use crate::settings::Settings;
use crate::worker::{self, AnswerWriter};
use actix_web::dev::Server;
use actix_web::web;
use anyhow::Context;
use claim_events::{CLAIM_TOPIC, PAYMENT_TOPIC, rfc3339};
use dual_db::{Database, DatabaseSettings, TrustedClock};
use event_bus::{Consumer, Relay};
use operator_api::{DeadLetterOperations, Operators};
use service_runtime::health::Health;
use service_runtime::http_server::HttpSettings;
use service_runtime::shutdown::waiting_for;
use service_runtime::{http_server, metrics};
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use worker_threads::{Periodic, Worker};

/// Threads that make gateway calls; a call costs them little but waiting, and two of them would wake each other for each call.
const CALLING_THREADS: usize = 1;

/// The threads that make gateway calls. Dropped, they end without waiting for a call: it is made again when its lease is over.
struct CallThreads {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl CallThreads {
    fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CALLING_THREADS)
            .thread_name("gateway calls")
            .enable_all()
            .build()
            .context("the threads for gateway calls could not be started")?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }
}

impl Drop for CallThreads {
    fn drop(&mut self) {
        // A runtime that is merely dropped waits for its threads, and panics where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

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
    calls: CallThreads,
    drain_timeout: Duration,
}

/// Applies what is missing of the database's migrations.
///
/// # Errors
/// What hinders it, for the operator.
pub fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let database = DatabaseSettings { migrate_at_start: true, ..settings.database.clone() };
    open_database(&database).map(drop)
}

fn open_database(settings: &DatabaseSettings) -> anyhow::Result<Database> {
    let database = Database::open_migrated(settings, &[&event_bus::MIGRATIONS, &db::MIGRATIONS])?;
    let marked = database.write(|connection| {
        let now_us = connection.now_us()?;
        restore_marker::ensure(connection, now_us)
    });
    marked.context("the database could not be marked as made now (try again)")?;
    Ok(database)
}

/// Marks the database as restored from a copy, and returns what to do next.
///
/// # Errors
/// What hinders it, for the operator.
pub fn mark_restored(settings: &Settings) -> anyhow::Result<String> {
    let marked = open_database(&settings.database)?.write(|connection| {
        let now_us = connection.now_us()?;
        restore_marker::restored(connection, now_us)?;
        Ok(now_us)
    });
    let now_us = marked.context("the database could not be marked as restored (try again)")?;
    // Resync epochs count seconds: one that is raised after this returns is later than the marker.
    std::thread::sleep(Duration::from_millis(1_000));
    Ok(format!(
        "the database is marked as restored at {}; now start payments, and run 'claim_process reannounce': until then \
         payments is not ready and touches no claim from before\n",
        rfc3339(now_us)
    ))
}

/// Whether a restored database may be worked with.
fn check_marker(database: &Database) -> Result<(), String> {
    match database.read(restore_marker::current) {
        Ok(StoredMarker { marker, resynced }) if marker.restored && !resynced => Err(format!(
            "the database was restored at {}: run 'claim_process reannounce', so that what it may lack is looked up",
            rfc3339(marker.at_us)
        )),
        Ok(_) => Ok(()),
        Err(_) => Err("the database does not answer".to_owned()),
    }
}

/// Makes each worker part of readiness. One may be silent for as long as its work takes or pauses.
fn watch_workers(health: &Health, settings: &Settings, workers: [Worker; 5]) {
    let [relay, consumer, answers, resumer, calls] = workers;
    health.watch_worker("relay", relay, Duration::ZERO);
    health.watch_worker("consumer", consumer, Duration::ZERO);
    health.watch_worker("answer_writer", answers, Duration::ZERO);
    health.watch_worker("saga_resumer", resumer, Duration::from_millis(settings.saga.resume_interval_ms));
    health.watch_worker("gateway_calls", calls, Duration::from_millis(settings.gateway.request_timeout_ms));
}

impl Application {
    /// Builds the service and binds its port (0 takes a free one). Neither Kafka nor the gateway need be there yet; until
    /// they answer, the service is not ready.
    ///
    /// # Errors
    /// What hinders it, for the operator.
    pub fn build(settings: Settings) -> anyhow::Result<Self> {
        metrics::install();
        crate::metrics::describe();
        let bound = http_server::bind(&settings.http)?;
        let database = open_database(&settings.database)?;
        let relay = Relay::start(&database, &settings.kafka)?;
        let gateway = adapters::from_settings(&settings.gateway)?;
        let calls = CallThreads::start()?;

        let settings = Arc::new(settings);
        let worker_name = nanoid::nanoid!(10);
        let clock = TrustedClock::open(&database, db::sagas::newest_us)
            .context("the trusted time could not be read (try again)")?;
        let executor = Executor::new(database.clone(), Arc::clone(&relay), Arc::clone(&settings), worker_name)
            .trusting(clock.clone());
        let (answers, answered) = channel();
        let dispatcher = Dispatcher::new(Arc::clone(&gateway), calls.handle.clone(), &settings, answers);
        let (answers_worker, resumer_worker) = (Worker::idle(), Worker::starting());
        let answer_writer =
            AnswerWriter::start(executor.clone(), dispatcher.clone(), answered, &settings.saga, answers_worker.clone());
        let claims = Claims::new(executor.clone(), dispatcher.clone());
        let consumer = Consumer::start(&settings.kafka, CLAIM_TOPIC, database.clone(), claims)?;

        let health = Health::new(&settings.health);
        let workers = [relay.worker(), consumer.worker(), answers_worker, resumer_worker.clone(), dispatcher.worker()];
        watch_workers(&health, &settings, workers);
        let every = settings.health.interval();
        let kafka = Arc::clone(&relay);
        let checking = calls.handle.clone();
        let marked = database.clone();
        let webhook_http = HttpSettings { max_body_bytes: settings.gateway.max_webhook_bytes, ..settings.http.clone() };
        let webhooks = http::Webhooks { gateway: Arc::clone(&gateway), http: webhook_http };
        let http_settings = settings.http.clone();
        let mut periodic = vec![
            worker::start_resuming(executor.clone(), dispatcher.clone(), &settings.saga, resumer_worker),
            worker::start_counting_stuck(database.clone(), every),
            executor.keep_logging(),
            clock.keep(database.clone()),
            health.watch_database(&database, every),
            health.watch("kafka", every, move || kafka.check(&[CLAIM_TOPIC, PAYMENT_TOPIC], every)),
            health.watch("reannounced", every, move || check_marker(&marked)),
            health.watch("gateway", every, move || checking.block_on(gateway.check())),
        ];
        periodic.extend(dual_db::keep_statistics(&database));

        let database = settings.query.gate(database);
        let operators = Operators::new(&settings.http, &settings.proxies);
        let dead_letters = DeadLetterOperations {
            operators: operators.clone(),
            database: database.clone(),
            relay: Arc::clone(&relay),
        };
        let operations = PaymentOperations {
            operators,
            database: database.clone(),
            executor: executor.clone(),
            dispatcher: dispatcher.clone(),
        };
        let port = bound.port();
        let server = bound.serve(&health, move |config| {
            config
                .app_data(web::Data::new(database.clone()))
                .app_data(web::Data::new(executor.clone()))
                .app_data(web::Data::new(dispatcher.clone()))
                .app_data(web::Data::new(dead_letters.clone()))
                .app_data(web::Data::new(operations.clone()))
                .app_data(web::Data::new(webhooks.clone()));
            http::routes(&http_settings).serve(config);
        })?;
        let drain_timeout = Duration::from_millis(settings.saga.drain_timeout_ms);
        Ok(Self { port, server, health, consumer, answer_writer, relay, periodic, calls, drain_timeout })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs until `stop` is there, then stops in order: requests in hand, the consumer, calls in hand, messages on their
    /// way.
    ///
    /// # Errors
    /// When the server broke or the consumer did not leave its group in time.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { server, health, consumer, answer_writer, relay, periodic, calls, drain_timeout, .. } = self;
        http_server::run_until(server, &health, stop, move || {
            waiting_for("the consumer");
            let left = consumer.stop();
            waiting_for("the background threads");
            worker_threads::stop_all(periodic);
            waiting_for("gateway calls and their answers");
            answer_writer.drain(drain_timeout);
            drop(calls);
            waiting_for("events that are being published");
            relay.stop();
            left
        })
        .await
    }
}
