//! Puts the service together, runs it, and stops it in order.

use crate::claims::tally::Tally;
use crate::claims::{canonical_forms, key_purge, writer};
use crate::db;
use crate::domain::code_list::CodeList;
use crate::domain::rules::rule_set::RuleSet;
use crate::events::{outcomes::Outcomes, rebuild::CurrentEvents, watchdog};
use crate::http::Limits;
use crate::http::api::Api;
use crate::settings::Settings;
use crate::waiting;
use actix_web::dev::Server;
use anyhow::Context;
use claim_events::{CLAIM_TOPIC, PAYMENT_TOPIC};
use dual_db::{Database, DatabaseSettings, TrustedClock};
use event_bus::{Consumer, Relay};
use service_runtime::health::Health;
use service_runtime::shutdown::waiting_for;
use service_runtime::{http_server, metrics};
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use worker_threads::{Pace, Periodic};

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
    tally: Tally,
}

/// Applies what is missing of the database's migrations.
///
/// # Errors
/// What hinders it, for the operator.
pub fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let database = DatabaseSettings { migrate_at_start: true, ..settings.database.clone() };
    open_database(&database).map(drop)
}

/// Opens the database, with its tables as the settings allow.
///
/// # Errors
/// What hinders it, for the operator.
pub fn open_database(settings: &DatabaseSettings) -> anyhow::Result<Database> {
    let database = Database::open_migrated(settings, &[&event_bus::MIGRATIONS, &db::MIGRATIONS])?;
    if settings.migrate_at_start {
        canonical_forms::complete(&database).context("the canonical forms of earlier claims could not be written")?;
    } else {
        let complete = canonical_forms::are_complete(&database).context("the database could not be read")?;
        anyhow::ensure!(
            complete,
            "earlier claims lack their canonical forms and the setting database.migrate_at_start is false: run \
             'claim_process migrate'"
        );
    }
    Ok(database)
}

/// The rules as the settings have them, with the list of procedure codes that they name.
///
/// # Errors
/// What hinders it, for the operator.
pub fn rule_set(settings: &Settings) -> anyhow::Result<RuleSet> {
    let file = &settings.checks.procedure_codes_file;
    let procedures = if file.is_empty() {
        None
    } else {
        let codes = read_bounded(file).map_err(anyhow::Error::new);
        let codes = codes.and_then(|text| CodeList::parse(&text).map_err(anyhow::Error::msg));
        Some(codes.with_context(|| {
            format!("the list of procedure codes {file}, which checks.procedure_codes_file names, cannot be used")
        })?)
    };
    Ok(RuleSet::new(settings.rules.clone(), settings.limits(), procedures))
}

/// The text of a file, or a byte more than any list of codes may have.
fn read_bounded(file: &str) -> io::Result<String> {
    let mut text = String::new();
    let most = CodeList::MOST_BYTES as u64 + 1;
    File::open(file)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

impl Application {
    /// Builds the service and binds its port (0 takes a free one). Kafka need not be there yet; until it answers, the
    /// service is not ready. Called inside an async runtime.
    ///
    /// # Errors
    /// What hinders it, for the operator.
    pub fn build(settings: Settings) -> anyhow::Result<Self> {
        metrics::install();
        crate::metrics::describe();
        let rules = rule_set(&settings)?;
        let bound = http_server::bind(&settings.http)?;
        let database = open_database(&settings.database)?;
        let relay = Relay::start_with(&database, &settings.kafka, None, Some(Arc::new(CurrentEvents)))?;
        let clock = TrustedClock::open(&database, db::idempotency::newest_us)
            .context("the trusted time could not be read (try again)")?;
        let keys_kept_us = settings.idempotency.kept_us();
        let (ingest, ingest_writer) =
            writer::start(Arc::clone(&relay), &settings.ingest, &settings.watchdog, clock.clone(), keys_kept_us);
        let outcomes = Outcomes::new(Arc::clone(&relay));
        let consumer = Consumer::start(&settings.kafka, PAYMENT_TOPIC, database.clone(), outcomes)?;

        let health = Health::new(&settings.health);
        health.watch_worker("ingest_writer", ingest.worker(), Duration::ZERO);
        health.watch_worker("relay", relay.worker(), Duration::ZERO);
        health.watch_worker("consumer", consumer.worker(), Duration::ZERO);
        let every = settings.health.interval();
        let limits = Limits::new(&settings);
        let kafka = Arc::clone(&relay);
        let tally = Tally::default();
        let mut periodic = vec![
            watchdog::start(database.clone(), Arc::clone(&relay), settings.watchdog.clone()),
            health.watch_database(&database, every),
            health.watch("kafka", every, move || kafka.check(&[CLAIM_TOPIC, PAYMENT_TOPIC], every)),
            waiting::start(database.clone(), every),
            forget_idle_clients(&limits),
            tally.keep_logging(),
            clock.keep(database.clone()),
            key_purge::start(database.clone(), settings.idempotency.clone(), clock),
        ];
        periodic.extend(dual_db::keep_statistics(&database));

        let api = Api::new(ingest, tally.clone(), rules, settings, database, Arc::clone(&relay));
        let port = bound.port();
        let server = bound.serve(&health, move |config| api.serve(&limits, config))?;
        Ok(Self { port, server, health, ingest_writer, consumer, relay, periodic, tally })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs until `stop` is there, then stops in order: requests in hand, the consumer, the writer, messages on their way.
    ///
    /// # Errors
    /// When the server broke or the consumer did not leave its group in time.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { server, health, ingest_writer, consumer, relay, periodic, tally, .. } = self;
        http_server::run_until(server, &health, stop, move || {
            waiting_for("the consumer");
            let left = consumer.stop();
            waiting_for("the background threads");
            worker_threads::stop_all(periodic);
            waiting_for("the ingest writer");
            // The server's workers and the batches in hand hold the only ways to the writer. It ends when they have, batches
            // within the time that each of their waits may take.
            let _ = ingest_writer.join();
            tally.log();
            waiting_for("events that are being published");
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
