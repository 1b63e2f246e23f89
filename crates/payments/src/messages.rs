//! From a saga to the messages that publish its outcome, and that it needs a person.

use crate::db::attention::SagaAttention;
use crate::db::sagas::StoredSaga;
use claim_events::{Encoded, Event, PaymentAttention, PaymentEvent, PaymentMessage, rfc3339};
use event_bus::OutgoingMessage;

/// The message that publishes a saga's outcome; none while the saga has no outcome.
pub fn outcome(stored: &StoredSaga, event: &PaymentEvent) -> Option<OutgoingMessage> {
    let version = stored.saga.outcome?.version;
    let at = rfc3339(stored.updated_at_us);
    Some(outgoing(event.encode(version, at, &stored.correlation_id, &stored.cause_id, stored.traceparent.clone())))
}

/// The message that informs claim_process that a payment needs a person, or no longer does. Its version is the revision of the
/// saga, so that claim_process ignores one that is late.
pub fn attention(attention: &SagaAttention) -> OutgoingMessage {
    let SagaAttention { claim_id, reason, revision, resync_epoch, at_us, correlation_id, cause_id, traceparent } =
        attention.clone();
    let message =
        PaymentMessage::Attention(PaymentAttention { claim_id, resync_epoch, raised: reason.is_some(), reason });
    outgoing(message.encode(revision, rfc3339(at_us), &correlation_id, &cause_id, traceparent))
}

fn outgoing(Encoded { topic, key, event_id, headers, body }: Encoded) -> OutgoingMessage {
    OutgoingMessage { event_id, topic: topic.to_owned(), key, headers, body }
}
