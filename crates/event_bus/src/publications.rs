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
    max_message_bytes: usize,
    messages: Vec<OutgoingMessage>,
}

impl Publications {
    pub(crate) fn new(now_us: i64, max_message_bytes: usize) -> Self {
        Self { now_us, max_message_bytes, messages: Vec::new() }
    }

    /// When the transaction began, by the database's clock, in microseconds since 1970 (UTC).
    pub fn now_us(&self) -> i64 {
        self.now_us
    }

    /// Publishes messages, if the transaction is committed.
    pub fn publish(&mut self, messages: impl IntoIterator<Item = OutgoingMessage>) {
        self.messages.extend(messages);
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
        missing.retain(|message| !self.messages.contains(message));
        let published = missing.len();
        self.messages.append(&mut missing);
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
        outbox::insert(connection, &self.messages, self.now_us, grace_us)
    }
}
