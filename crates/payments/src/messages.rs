//! From a saga's outcome to the message that publishes it.

use crate::db::sagas::StoredSaga;
use claim_events::{Encoded, Event, PaymentEvent, rfc3339};
use event_bus::OutgoingMessage;

/// The message that publishes a saga's outcome; none while the saga has no outcome.
pub fn outcome(stored: &StoredSaga, event: &PaymentEvent) -> Option<OutgoingMessage> {
    let version = stored.saga.outcome?.version;
    let at = rfc3339(stored.updated_at_us);
    let Encoded { topic, key, event_id, headers, body } =
        event.encode(version, at, &stored.correlation_id, &stored.cause_id, stored.traceparent.clone());
    Some(OutgoingMessage { event_id, topic: topic.to_owned(), key, headers, body })
}
