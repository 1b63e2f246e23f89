//! A message on its way out and a message that came in.

use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};

/// What a service wants sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The event's derived id, by which it is found in the outbox. Receivers have it from the headers.
    pub event_id: String,
    /// Where it goes.
    pub topic: String,
    /// What decides its partition.
    pub key: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// A message as it came, owned, with everything a dead letter needs.
#[derive(Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// Where it came from.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The place in the partition.
    pub offset: i64,
    /// The message's time stamp, in milliseconds since 1970; 0 where it has none.
    pub time_ms: i64,
    /// The key, where there is one.
    pub key: Option<Vec<u8>>,
    /// Names and raw values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty for a tombstone.
    pub body: Vec<u8>,
}

impl IncomingMessage {
    pub(crate) fn from_borrowed(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
        });
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            time_ms: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            body: message.payload().unwrap_or_default().to_vec(),
        }
    }

    /// A header's value by its name, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// The body may hold anything, so it is not shown.
impl std::fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]@{} ({} bytes)", self.topic, self.partition, self.offset, self.body.len())
    }
}
