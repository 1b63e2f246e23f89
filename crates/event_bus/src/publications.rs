//! What a transaction publishes. It is gathered while the transaction runs, and stored in the outbox with everything else
//! that the transaction writes.

use crate::OutgoingMessage;
use crate::outbox::{self, OutboxRow};
use dual_db::{Connection, Result};

/// What a transaction of [`Relay::commit`](crate::Relay::commit) publishes. Only that function makes one, anew for every run
/// of the transaction: what an aborted run published is gone with it.
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

    /// Publishes those of the messages that do not wait in the outbox already, word for word: what is re-published again and
    /// again does not fill the outbox while Kafka is away. Returns how many these are.
    ///
    /// # Errors
    /// The database's.
    pub fn publish_unless_waiting(
        &mut self,
        connection: &mut Connection,
        messages: &[OutgoingMessage],
    ) -> Result<usize> {
        let mut missing = outbox::not_waiting(connection, messages)?;
        // What this transaction publishes waits as well.
        missing.retain(|message| !self.messages.contains(message));
        let published = missing.len();
        self.messages.append(&mut missing);
        Ok(published)
    }

    /// Whether a message is small enough to be sent at all.
    pub(crate) fn carries(&self, message: &OutgoingMessage) -> bool {
        let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        message.key.len() + headers + message.body.len() <= self.max_message_bytes
    }

    /// Writes them into the outbox. The sweeper leaves the rows alone for `grace_us`.
    pub(crate) fn store(self, connection: &mut Connection, grace_us: i64) -> Result<Vec<OutboxRow>> {
        if self.messages.is_empty() {
            return Ok(Vec::new());
        }
        outbox::insert(connection, &self.messages, self.now_us, grace_us)
    }
}
