//! What the handlers need, made once: each is application data of its own, and a handler names what it uses.

use super::{Limits, routes};
use crate::claims::admission::Admission;
use crate::claims::batch::Batches;
use crate::claims::batch::context::BatchResources;
use crate::claims::submit::Submitter;
use crate::claims::tally::Tally;
use crate::claims::void::Voider;
use crate::claims::writer::IngestQueue;
use crate::domain::rules::rule_set::RuleSet;
use crate::intake::batch_input::BatchLimits;
use crate::settings::Settings;
use actix_web::web::{Data, ServiceConfig};
use dual_db::Database;
use event_bus::Relay;
use operator_api::{DeadLetterOperations, Operators};
use service_runtime::database_gate::DatabaseGate;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Which part of those that may wait for the database at once look-ups of batches may be.
const BATCH_SHARE_OF_READS: usize = 4;

/// What the handlers need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    settings: Data<Settings>,
    rules: Data<RuleSet>,
    database: Data<DatabaseGate>,
    submitter: Data<Submitter>,
    voider: Data<Voider>,
    batches: Data<Batches>,
    dead_letters: Data<DeadLetterOperations>,
}

impl Api {
    /// Makes what the handlers need. Called inside the process's own async runtime.
    pub fn new(
        queue: IngestQueue,
        tally: Tally,
        rules: RuleSet,
        settings: Settings,
        database: Database,
        relay: Arc<Relay>,
    ) -> Self {
        let rules = Arc::new(rules);
        let database = settings.query.gate(database);
        let operators = Operators::new(&settings.http, &settings.proxies);
        let dead_letters = DeadLetterOperations { operators, database: database.clone(), relay: Arc::clone(&relay) };
        let batches = batches(queue.clone(), tally.clone(), Arc::clone(&rules), &settings, database.clone());
        let admission = Admission::new(settings.ingest.max_wait());
        let submitter = Submitter::new(Arc::clone(&rules), database.clone(), queue, admission, tally);
        Self {
            submitter: Data::new(submitter),
            voider: Data::new(Voider::new(relay, settings.watchdog.first_pause_us())),
            batches: Data::new(batches),
            dead_letters: Data::new(dead_letters),
            rules: Data::from(rules),
            database: Data::new(database),
            settings: Data::new(settings),
        }
    }

    /// Registers the routes and what their handlers need.
    pub fn serve(&self, limits: &Limits, config: &mut ServiceConfig) {
        config
            .app_data(self.settings.clone())
            .app_data(self.rules.clone())
            .app_data(self.database.clone())
            .app_data(self.submitter.clone())
            .app_data(self.voider.clone())
            .app_data(self.batches.clone())
            .app_data(self.dead_letters.clone());
        routes(&self.settings, limits).serve(config);
    }
}

fn batches(
    queue: IngestQueue,
    tally: Tally,
    rules: Arc<RuleSet>,
    settings: &Settings,
    database: DatabaseGate,
) -> Batches {
    let Settings { batch, query, ingest, .. } = settings;
    let resources = BatchResources {
        rules,
        queue,
        database,
        tally,
        runtime: Handle::current(),
        claim_permits: Arc::new(Semaphore::new(batch.max_waiting_claims)),
        max_waiting_claims: batch.max_waiting_claims,
        look_up_permits: Semaphore::new((query.max_waiting_reads / BATCH_SHARE_OF_READS).max(1)),
        limits: BatchLimits { max_claim_bytes: batch.max_claim_bytes, read: settings.read_limits(), hashes: true },
        max_claims: batch.max_claims,
        max_unread_bytes: batch.max_unread_bytes,
        answer_timeout: Duration::from_millis(ingest.answer_timeout_ms),
        stall_timeout: Duration::from_millis(batch.stall_timeout_ms),
    };
    Batches::new(batch.max_concurrent, resources)
}
