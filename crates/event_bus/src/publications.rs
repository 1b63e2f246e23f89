//! The messages that a transaction publishes. They are collected while the transaction runs, and stored in the outbox as part
//! of it.

use crate::OutgoingMessage;
use crate::outbox::{self, OutboxRow};
use dual_db::{Connection, Result};

/// The messages that a transaction of [`Relay::commit`](crate::Relay::commit) publishes. Only that function creates one, for
/// each run of the transaction: the messages of an aborted run are dropped with it.
#[derive(Debug)]
pub struct Publications {
    now_us: i64,
    can_rebuild: bool,
    max_message_bytes: usize,
    /// Each with whether it is stored as a pointer.
    messages: Vec<(OutgoingMessage, bool)>,
}

impl Publications {
    pub(crate) fn new(now_us: i64, max_message_bytes: usize, can_rebuild: bool) -> Self {
        Self { now_us, can_rebuild, max_message_bytes, messages: Vec::new() }
    }

    /// When the transaction began, by the database's clock, in microseconds since 1970 (UTC).
    pub fn now_us(&self) -> i64 {
        self.now_us
    }

    /// Publishes messages, if the transaction is committed.
    pub fn publish(&mut self, messages: impl IntoIterator<Item = OutgoingMessage>) {
        self.messages.extend(messages.into_iter().map(|message| (message, false)));
    }

    /// As [`publish`](Self::publish), for messages that the service's [`Rebuild`](crate::Rebuild) can build again: the outbox has
    /// only a pointer to each. Without a `Rebuild` they are stored as all others.
    pub fn publish_rebuildable(&mut self, messages: impl IntoIterator<Item = OutgoingMessage>) {
        let can_rebuild = self.can_rebuild;
        self.messages.extend(messages.into_iter().map(|message| (message, can_rebuild)));
    }

    /// Publishes the messages of which no identical one is still in the outbox, so that re-publishing does not grow the outbox
    /// during a Kafka outage. Returns how many it published.
    ///
    /// # Errors
    /// Those of the database.
    pub fn publish_unless_waiting(
        &mut self,
        connection: &mut Connection,
        messages: &[OutgoingMessage],
    ) -> Result<usize> {
        let mut missing = outbox::not_waiting(connection, messages)?;
        // The messages of this transaction are in the outbox as soon as it commits.
        missing.retain(|message| !self.messages.iter().any(|(published, _)| published == message));
        let published = missing.len();
        self.publish(missing);
        Ok(published)
    }

    /// Whether a message is within the limit `kafka.max_message_bytes`.
    pub(crate) fn carries(&self, message: &OutgoingMessage) -> bool {
        let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        message.key.len() + headers + message.body.len() <= self.max_message_bytes
    }

    /// Inserts the messages into the outbox. The sweeper ignores the rows for `grace_us`.
    pub(crate) fn store(self, connection: &mut Connection, grace_us: i64) -> Result<Vec<OutboxRow>> {
        if self.messages.is_empty() {
            return Ok(Vec::new());
        }
        let ids = outbox::insert(connection, &self.messages, self.now_us, grace_us)?;
        Ok(ids.into_iter().zip(self.messages).map(|(id, (message, _))| OutboxRow::new(id, message)).collect())
    }
}
