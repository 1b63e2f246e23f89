//! The HTTP API: payments, the ledger, how many gateway calls are made at once, and the gateway's webhooks. The routes of dead
//! letters come from `operator_api`.

mod audit;
mod balances;
mod concurrency;
mod payment;
mod payment_acts;
mod payments;
mod returns;
mod webhook;

pub use payment_acts::PaymentOperations;
use secrets::Secret;
use service_runtime::api::Routes;
use service_runtime::http_server::HttpSettings;
use service_runtime::route;

/// What taking a webhook needs.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// The secret under which the gateway signs.
    pub secret: Secret,
    /// How far a signature's time may be from now, in seconds.
    pub tolerance_s: i64,
    /// The limits of a body.
    pub http: HttpSettings,
}

/// The routes, with their document.
pub fn routes(http: &HttpSettings) -> Routes {
    let description = "Pays claims, and shows the state of each payment. Every error is a problem as in RFC 9457.";
    let routes = Routes::new("Payments", description, http)
        .route(route!(payments::list))
        .route(route!(payment::one))
        .route(route!(payment_acts::retry))
        .route(route!(payment_acts::force))
        .route(route!(balances::list))
        .route(route!(audit::audit));
    operator_api::dead_letter_routes(routes, |route| route)
        .route(route!(concurrency::now))
        .route(route!(returns::list))
        .route(route!(webhook::post))
}

/// Cents as text with two decimals.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let absolute = cents.unsigned_abs();
    format!("{sign}{}.{:02}", absolute / 100, absolute % 100)
}
