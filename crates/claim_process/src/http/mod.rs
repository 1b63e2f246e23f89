//! The HTTP API. Handlers read the request, call what does the work, and turn its result into an answer. The routes of
//! messages that were set aside come from `operator_desk`.

mod answer;
mod batch;
mod foreseen;
mod get_claims;
mod post_claim;
mod rate_limit;
mod reconciliation;
mod rules;
mod sent;
mod top_providers;
mod validate_claim;
mod void_claim;

use crate::domain::rules::RuleBook;
use crate::ingest::IngestQueue;
use crate::settings::Settings;
use dual_db::Database;
use event_bus::Relay;
use operator_desk::{DeadLetterDesk, Operators};
use rate_limit::ClientLimit;
use service_runtime::api::{Documented, Routes};
use service_runtime::client_address::Clients;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::route;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    /// The way in.
    pub ingest: IngestQueue,
    /// The rules as this deployment has them.
    pub rules: Arc<RuleBook>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// The way out.
    pub relay: Arc<Relay>,
    database: DatabaseGate,
    /// That of the whole process: it goes on when the server's workers have ended.
    runtime: Handle,
    /// A place for each batch that is taken at the same time.
    batches: Arc<Semaphore>,
    /// A place for each claim of any batch that waits to be stored: the queue has room for single claims beside them.
    batch_claims: Arc<Semaphore>,
    /// A place for each question of any batch: the way to the database has room for others beside them.
    batch_lookups: Arc<Semaphore>,
}

/// Which part of those that may wait for the database at once questions of batches may be.
const BATCH_SHARE_OF_READS: usize = 4;

impl Api {
    /// What the routes of messages that were set aside need.
    pub fn dead_letter_desk(&self) -> DeadLetterDesk {
        let operators = Operators::new(&self.settings.http, &self.settings.proxies);
        DeadLetterDesk { operators, database: self.database.clone(), relay: Arc::clone(&self.relay) }
    }

    /// What the handlers share. Called inside the process's own async runtime.
    pub fn new(
        ingest: IngestQueue,
        rules: RuleBook,
        settings: Settings,
        database: Database,
        relay: Arc<Relay>,
    ) -> Self {
        let database = DatabaseGate::new(database, settings.query.max_waiting_reads);
        let batches = Arc::new(Semaphore::new(settings.batch.max_concurrent));
        let batch_claims = Arc::new(Semaphore::new(settings.batch.max_waiting_claims));
        let batch_lookups = Arc::new(Semaphore::new((settings.query.max_waiting_reads / BATCH_SHARE_OF_READS).max(1)));
        let (rules, settings) = (Arc::new(rules), Arc::new(settings));
        let runtime = Handle::current();
        Self { ingest, rules, settings, relay, database, runtime, batches, batch_claims, batch_lookups }
    }
}

/// What each client may do in a minute.
#[derive(Debug, Clone)]
pub struct Limits {
    top_providers: ClientLimit,
    writes: ClientLimit,
}

impl Limits {
    /// The limits that the settings name.
    pub fn new(settings: &Settings) -> Self {
        let clients = Clients::behind(&settings.proxies);
        Self {
            top_providers: ClientLimit::per_minute(settings.query.top_providers_per_minute, &clients),
            writes: ClientLimit::per_minute(settings.ingest.writes_per_minute, &clients),
        }
    }

    /// Forgets clients that have not been seen for a while.
    pub fn forget_idle_clients(&self) {
        self.top_providers.forget_idle_clients();
        self.writes.forget_idle_clients();
    }
}

/// The routes, with their document.
pub fn routes(settings: &Settings, limits: &Limits) -> Routes {
    let (writes, tops) = (settings.ingest.writes_per_minute, settings.query.top_providers_per_minute);
    let description = format!(
        "Takes dental claims, and says what became of each. A claim may have {} lines, a value {} bytes, a CSV {} columns, JSON {} \
         levels; {} findings are listed, and the others counted. A batch may have {} bytes as it is sent, {} claims, and {} bytes \
         in a claim. Every error is a problem as in RFC 9457.",
        settings.ingest.max_lines,
        settings.intake.max_value_bytes,
        settings.intake.max_columns,
        settings.intake.max_depth,
        settings.checks.max_findings,
        settings.batch.max_body_bytes,
        settings.batch.max_claims,
        settings.batch.max_claim_bytes
    );
    let limit_writes = |route: Documented| route.limited(writes, |route| limits.writes.around(route));
    let routes = Routes::new("Claims", &description, &settings.http)
        .route(limit_writes(route!(post_claim::post)))
        .route(route!(get_claims::list))
        .route(route!(get_claims::one))
        .route(route!(rules::list))
        .route(limit_writes(route!(batch::post)))
        .route(limit_writes(route!(validate_claim::post)))
        .route(limit_writes(route!(void_claim::post)))
        .route(route!(top_providers::top).limited(tops, |route| limits.top_providers.around(route)))
        .route(route!(reconciliation::reconcile));
    operator_desk::dead_letter_routes(routes, limit_writes)
}
