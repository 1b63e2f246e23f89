//! An outgoing and an incoming message.

use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};

/// A message that a service publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The event's derived id, by which it is found in the outbox. Consumers read it from the headers.
    pub event_id: String,
    /// The topic.
    pub topic: String,
    /// The message key, which decides the partition.
    pub key: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body; where it is empty, a tombstone is published.
    pub body: String,
}

impl OutgoingMessage {
    /// The headers as the outbox stores them: a JSON array of pairs of name and value.
    pub(crate) fn headers_as_json(&self) -> String {
        headers_as_json(&self.headers)
    }
}

pub(crate) fn headers_as_json(pairs: &[(String, String)]) -> String {
    serde_json::to_string(pairs).expect("pairs of text always serialize")
}

/// A consumed message, unchanged and owned, with everything that a dead letter stores.
#[derive(Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The message's time stamp, in milliseconds since 1970; 0 if it has none.
    pub time_ms: i64,
    /// The key, if the message has one.
    pub key: Option<Vec<u8>>,
    /// Header names and raw values.
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

    /// The names of all headers, in their order.
    pub fn header_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// The value of the first header with this name, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// Leaves out the body, which may hold patient data.
impl std::fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]@{} ({} bytes)", self.topic, self.partition, self.offset, self.body.len())
    }
}
