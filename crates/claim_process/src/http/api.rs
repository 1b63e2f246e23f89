//! What the handlers share: the way in, the rules, the settings, and the permits that keep what waits bounded.

use crate::domain::rules::rule_set::RuleSet;
use crate::ingest::IngestQueue;
use crate::settings::Settings;
use dual_db::Database;
use event_bus::Relay;
use operator_api::{DeadLetterOperations, Operators};
use service_runtime::database_gate::DatabaseGate;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    /// The way in.
    pub ingest: IngestQueue,
    /// The rules as this deployment has them.
    pub rules: Arc<RuleSet>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The way out.
    pub relay: Arc<Relay>,
    pub(super) database: DatabaseGate,
    /// That of the whole process: it goes on when the server's workers have ended.
    pub(super) runtime: Handle,
    /// A place for each batch that is taken at the same time.
    pub(super) batches: Arc<Semaphore>,
    /// A place for each claim of any batch that waits to be stored: the queue has room for single claims beside them.
    pub(super) batch_claims: Arc<Semaphore>,
    /// A place for each question of any batch: the way to the database has room for others beside them.
    pub(super) batch_lookups: Arc<Semaphore>,
}

/// Which part of those that may wait for the database at once questions of batches may be.
const BATCH_SHARE_OF_READS: usize = 4;

impl Api {
    /// What the routes of messages that were set aside need.
    pub fn dead_letter_operations(&self) -> DeadLetterOperations {
        let operators = Operators::new(&self.settings.http, &self.settings.proxies);
        DeadLetterOperations { operators, database: self.database.clone(), relay: Arc::clone(&self.relay) }
    }

    /// What the handlers share. Called inside the process's own async runtime.
    pub fn new(ingest: IngestQueue, rules: RuleSet, settings: Settings, database: Database, relay: Arc<Relay>) -> Self {
        let database = DatabaseGate::new(database, settings.query.max_waiting_reads);
        let batches = Arc::new(Semaphore::new(settings.batch.max_concurrent));
        let batch_claims = Arc::new(Semaphore::new(settings.batch.max_waiting_claims));
        let batch_lookups = Arc::new(Semaphore::new((settings.query.max_waiting_reads / BATCH_SHARE_OF_READS).max(1)));
        let (rules, settings) = (Arc::new(rules), Arc::new(settings));
        let runtime = Handle::current();
        Self { ingest, rules, settings, relay, database, runtime, batches, batch_claims, batch_lookups }
    }
}
