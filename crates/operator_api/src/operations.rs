//! What the handlers of dead letters work with. A service makes one and registers it as application data.

use crate::operator_action::Operators;
use event_bus::Relay;
use service_runtime::database_gate::DatabaseGate;
use std::sync::Arc;

/// What the routes of dead letters need, as application data.
#[derive(Debug, Clone)]
pub struct DeadLetterOperations {
    /// Reads what an operator says.
    pub operators: Operators,
    /// The database that keeps the letters.
    pub database: DatabaseGate,
    /// The way out for those that are sent again.
    pub relay: Arc<Relay>,
}
