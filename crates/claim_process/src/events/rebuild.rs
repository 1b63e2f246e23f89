//! Builds the events of claims again, of which the outbox has only pointers.

use super::outgoing;
use crate::db::claims::find_many;
use dual_db::{Connection, Result};
use event_bus::{EventPointer, OutgoingMessage, Rebuild};
use std::collections::HashMap;

/// Claims in one query, to stay below SQLite's limit on parameters.
const CLAIMS_PER_QUERY: usize = 1_000;

/// Builds the current event of the claim that an event is about: `claim.submitted` with what the claim has by now, and
/// `claim.void_requested` once it is voided, which is enough by itself.
#[derive(Debug)]
pub struct CurrentEvents;

impl Rebuild for CurrentEvents {
    fn rebuild(&self, connection: &mut Connection, events: &[EventPointer]) -> Result<Vec<Option<OutgoingMessage>>> {
        let mut messages = HashMap::new();
        for chunk in events.chunks(CLAIMS_PER_QUERY) {
            let ids: Vec<&str> = chunk.iter().map(|event| event.key.as_str()).collect();
            for claim in find_many(connection, &ids)? {
                messages.insert(claim.row.claim_id.to_string(), outgoing::current_event(&claim));
            }
        }
        Ok(events.iter().map(|event| messages.get(&event.key).cloned()).collect())
    }
}
