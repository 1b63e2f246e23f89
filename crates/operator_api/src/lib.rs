//! What both services offer an operator over HTTP: how an operator's action is read, with its reason and who does it
//! ([`Operators`]), and the routes of dead letters ([`dead_letter_routes`]).
//!
//! It decides nothing about a claim or a payment, and shows of a message only what the contract says is no patient data.

mod dead_letter;
mod dead_letter_actions;
mod dead_letters;
mod masked;
pub mod metrics;
mod operations;
mod operator_action;

pub use operations::DeadLetterOperations;
pub use operator_action::{ActionBody, Finding, OperatorAction, Operators, ReasonedBody, refused};
use service_runtime::api::{Documented, Routes};
use service_runtime::route;

/// Adds the routes of dead letters. `around` is put around those that change something.
pub fn dead_letter_routes(routes: Routes, around: impl Fn(Documented) -> Documented) -> Routes {
    routes
        .route(route!(dead_letters::list))
        .route(route!(dead_letter::one))
        .route(around(route!(dead_letter_actions::redrive)))
        .route(around(route!(dead_letter_actions::discard)))
}
