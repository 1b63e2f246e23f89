//! Puts the service together, runs it, and stops it in order.

use crate::db;
use crate::domain::code_list::CodeList;
use crate::domain::rules::rule_set::RuleSet;
use crate::events::{outcomes::Outcomes, watchdog};
use crate::http::api::Api;
use crate::http::{self, Limits};
use crate::ingest;
use crate::key_purge;
use crate::settings::Settings;
use actix_web::dev::Server;
use actix_web::web;
use claim_events::{CLAIM_TOPIC, PAYMENT_TOPIC};
use dual_db::{Database, DatabaseSettings};
use event_bus::{Consumer, Relay};
use service_runtime::background::{self, Pace, Periodic};
use service_runtime::health::Health;
use service_runtime::{http_server, metrics};
use std::fs::File;
use std::future::Future;
use std::io::Read;
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

/// Applies what is missing of the database's migrations.
///
/// # Errors
/// One sentence for the operator.
pub fn migrate(settings: &Settings) -> Result<(), String> {
    let database = DatabaseSettings { migrate_at_start: true, ..settings.database.clone() };
    open_database(&database).map(drop)
}

/// Opens the database, with its tables as the settings allow.
///
/// # Errors
/// One sentence for the operator.
pub fn open_database(settings: &DatabaseSettings) -> Result<Database, String> {
    Database::open_migrated(settings, &[&event_bus::MIGRATIONS, &db::MIGRATIONS]).map_err(|error| error.to_string())
}

/// The rules as the settings have them, with the list of procedure codes that they name.
///
/// # Errors
/// One sentence for the operator.
pub fn rule_set(settings: &Settings) -> Result<RuleSet, String> {
    let file = &settings.checks.procedure_codes_file;
    let procedures = if file.is_empty() {
        None
    } else {
        let codes = read_bounded(file).and_then(|text| CodeList::parse(&text)).map_err(|problem| {
            format!(
                "the list of procedure codes {file}, which checks.procedure_codes_file names, cannot be used: {problem}"
            )
        })?;
        Some(codes)
    };
    Ok(RuleSet::new(settings.rules.clone(), settings.limits(), procedures))
}

/// The text of a file, or a byte more than any list of codes may have.
fn read_bounded(file: &str) -> Result<String, String> {
    let mut text = String::new();
    let most = CodeList::MOST_BYTES as u64 + 1;
    let read = File::open(file).and_then(|file| file.take(most).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| error.to_string())
}

impl Application {
    /// Builds the service and binds its port (0 takes a free one). Kafka need not be there yet; until it answers, the
    /// service is not ready. Called inside an async runtime.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub fn build(settings: Settings) -> Result<Self, String> {
        metrics::install();
        let rules = rule_set(&settings)?;
        let bound = http_server::bind(&settings.http)?;
        let database = open_database(&settings.database)?;
        let relay = Relay::start(&database, &settings.kafka)?;
        let (ingest, ingest_writer) = ingest::start(Arc::clone(&relay), &settings.ingest, &settings.watchdog);
        let outcomes = Outcomes::new(Arc::clone(&relay));
        let consumer = Consumer::start(&settings.kafka, PAYMENT_TOPIC, database.clone(), outcomes)?;

        let health = Health::default();
        let every = settings.health.interval();
        let limits = Limits::new(&settings);
        let kafka = Arc::clone(&relay);
        let periodic = vec![
            watchdog::start(database.clone(), Arc::clone(&relay), settings.watchdog.clone()),
            health.watch_database(&database, every),
            health.watch("kafka", every, move || kafka.check(&[CLAIM_TOPIC, PAYMENT_TOPIC], every)),
            forget_idle_clients(&limits),
            key_purge::start(database.clone(), settings.idempotency.clone()),
        ];

        let api = Api::new(ingest, rules, settings, database, Arc::clone(&relay));
        let letters = web::Data::new(api.dead_letter_operations());
        let port = bound.port();
        let server = bound.serve(&health, move |config| {
            config.app_data(web::Data::new(api.clone()));
            config.app_data(letters.clone());
            http::routes(&api.settings, &limits).serve(config);
        })?;
        Ok(Self { port, server, health, ingest_writer, consumer, relay, periodic })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs until `stop` is there, then stops in order: requests in hand, the consumer, the writer, messages on their way.
    ///
    /// # Errors
    /// One sentence when the server broke or the consumer did not leave its group in time.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let Self { server, health, ingest_writer, consumer, relay, periodic, .. } = self;
        http_server::run_until(server, &health, stop, move || {
            let left = consumer.stop();
            background::stop_all(periodic);
            // The server's workers and the batches in hand hold the only ways to the writer. It ends when they have, batches
            // within the time that each of their waits may take.
            let _ = ingest_writer.join();
            relay.stop();
            left
        })
        .await
    }
}

fn forget_idle_clients(limits: &Limits) -> Periodic {
    let limits = limits.clone();
    Periodic::spawn("rate limiter", FORGET_CLIENTS_EVERY, move || {
        limits.forget_idle_clients();
        Pace::Pause
    })
}
