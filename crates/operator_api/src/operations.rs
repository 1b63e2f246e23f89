//! The application data of the dead letter routes. A service creates it and registers it.

use crate::operator_action::Operators;
use event_bus::Relay;
use service_runtime::database_gate::DatabaseGate;
use std::sync::Arc;

/// The dependencies of the dead letter routes, as application data.
#[derive(Debug, Clone)]
pub struct DeadLetterOperations {
    /// Reads operator actions from requests.
    pub operators: Operators,
    /// The database with the dead letters.
    pub database: DatabaseGate,
    /// Publishes dead letters that are redriven.
    pub relay: Arc<Relay>,
}
