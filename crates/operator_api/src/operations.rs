//! What the handlers of dead letters work with. A service makes one and registers it as application data.

use crate::operator_action::Operators;
use event_bus::Relay;
use service_runtime::database_gate::DatabaseGate;
use std::sync::Arc;

/// What the routes of dead letters need, as application data.
#[derive(Debug, Clone)]
pub struct DeadLetterOperations {
    /// Reads the actions of operators.
    pub operators: Operators,
    /// The database that keeps the dead letters.
    pub database: DatabaseGate,
    /// Publishes the messages of those that are redriven.
    pub relay: Arc<Relay>,
}
