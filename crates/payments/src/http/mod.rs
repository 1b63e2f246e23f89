//! The HTTP API: a claim's payment, and the ledger's audit.

mod audit;
mod payment;

use actix_web::web;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::problem;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig, database: &DatabaseGate) {
    config
        .app_data(web::Data::new(database.clone()))
        .app_data(problem::query_config())
        .service(web::resource("/v1/payments/{claim_id}").get(payment::one).default_service(problem::wrong_method()))
        .service(web::resource("/v1/ledger/audit").get(audit::audit).default_service(problem::wrong_method()));
}

/// Cents as text with two decimals.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let absolute = cents.unsigned_abs();
    format!("{sign}{}.{:02}", absolute / 100, absolute % 100)
}
