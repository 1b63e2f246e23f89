//! What both services offer an operator over HTTP: how an act is read, with its reason and who does it ([`Operators`]), and
//! the routes of messages that were set aside ([`dead_letter_routes`]).
//!
//! It decides nothing about a claim or a payment, and shows of a message only what the contract says is no patient data.

mod act;
mod desk;
mod letter;
mod letter_acts;
mod letters;
mod masked;

pub use act::{OperatorAct, Operators, Reason, ReasonedBody};
pub use desk::DeadLetterDesk;
use service_runtime::api::{Documented, Routes};
use service_runtime::route;

/// Adds the routes of messages that were set aside. `around` is put around those that change something.
pub fn dead_letter_routes(routes: Routes, around: impl Fn(Documented) -> Documented) -> Routes {
    routes
        .route(route!(letters::list))
        .route(route!(letter::one))
        .route(around(route!(letter_acts::redrive)))
        .route(around(route!(letter_acts::discard)))
}
