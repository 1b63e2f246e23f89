//! The HTTP API: payments, the ledger, messages that were set aside, how many gateway calls are made at once, and what the
//! gateway tells.

mod audit;
mod balances;
mod concurrency;
mod dead_letters;
mod payment;
mod payments;
mod webhook;

use crate::executor::Executor;
use crate::gateway::Dispatcher;
use actix_web::web;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::http_server::HttpSettings;
use service_runtime::problem;

/// What taking a webhook needs.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Applies it.
    pub executor: Executor,
    /// Makes the calls that follow.
    pub dispatcher: Dispatcher,
    /// The secret under which the gateway signs.
    pub secret: String,
    /// How far a signature's time may be from now, in seconds.
    pub tolerance_s: i64,
    /// The limits of a body.
    pub http: HttpSettings,
}

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig, database: &DatabaseGate, webhooks: &Webhooks) {
    config
        .app_data(web::Data::new(database.clone()))
        .app_data(web::Data::new(webhooks.clone()))
        .app_data(web::Data::new(webhooks.dispatcher.clone()))
        .app_data(problem::query_config())
        .service(web::resource("/v1/payments").get(payments::list).default_service(problem::only("GET")))
        .service(web::resource("/v1/ledger/balances").get(balances::list).default_service(problem::only("GET")))
        .service(web::resource("/v1/dead-letters").get(dead_letters::list).default_service(problem::only("GET")))
        .service(web::resource("/v1/concurrency").get(concurrency::now).default_service(problem::only("GET")))
        .service(web::resource("/v1/payments/{claim_id}").get(payment::one).default_service(problem::wrong_method()))
        .service(web::resource("/v1/webhooks/gateway").post(webhook::post).default_service(problem::only("POST")))
        .service(web::resource("/v1/ledger/audit").get(audit::audit).default_service(problem::wrong_method()));
}

/// Cents as text with two decimals.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let absolute = cents.unsigned_abs();
    format!("{sign}{}.{:02}", absolute / 100, absolute % 100)
}
