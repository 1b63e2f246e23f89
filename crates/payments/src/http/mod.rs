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
use service_runtime::api::Routes;
use service_runtime::http_server::HttpSettings;
use service_runtime::route;
pub use webhook::Webhooks;

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
        .route(route!(returns::resolve))
        .route(route!(webhook::post))
}
