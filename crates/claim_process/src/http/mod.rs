//! The HTTP API. Handlers read the request, call what does the work, and turn its result into an answer.

mod answer;
mod get_claims;
mod post_claim;
mod rate_limit;
mod reconciliation;
mod rules;
mod top_providers;
mod void_claim;

use crate::domain::rules::RuleBook;
use crate::ingest::IngestQueue;
use crate::settings::Settings;
use actix_web::web;
use dual_db::Database;
use event_bus::Relay;
use rate_limit::ClientLimit;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem;
use std::sync::Arc;

pub use rate_limit::ClientLimit as TopProvidersLimit;

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
}

impl Api {
    /// What the handlers share.
    pub fn new(
        ingest: IngestQueue,
        rules: RuleBook,
        settings: Settings,
        database: Database,
        relay: Arc<Relay>,
    ) -> Self {
        let database = DatabaseGate::new(database, settings.query.max_waiting_reads);
        Self { ingest, rules: Arc::new(rules), settings: Arc::new(settings), relay, database }
    }
}

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig, api: &Api, limit: &ClientLimit) {
    config
        .app_data(web::Data::new(api.clone()))
        .app_data(problem::query_config())
        .service(
            web::resource("/v1/claims")
                .post(post_claim::post)
                .get(get_claims::list)
                .default_service(problem::only("GET, POST")),
        )
        .service(
            web::resource("/v1/providers/top")
                .wrap(limit.middleware())
                .get(top_providers::top)
                .default_service(problem::only("GET")),
        )
        .service(
            web::resource("/v1/reconciliation").get(reconciliation::reconcile).default_service(problem::only("GET")),
        )
        .service(web::resource("/v1/rules").get(rules::list).default_service(problem::only("GET")))
        .service(web::resource("/v1/claims/{id}/void").post(void_claim::post).default_service(problem::only("POST")))
        .service(web::resource("/v1/claims/{id}").get(get_claims::one).default_service(problem::only("GET")));
}
