//! What both kinds of event share: encoding one as a message, and decoding a message.

use crate::{DecodeError, Envelope, Headers};

/// An event of the contract: a body with a type, about one claim.
pub trait Event: Sized {
    /// The topic that carries it.
    const TOPIC: &'static str;
    /// The service that publishes it.
    const SOURCE: &'static str;
    /// Every type that there is.
    const TYPES: &'static [&'static str];

    /// Its type, such as `claim.submitted`.
    fn event_type(&self) -> &'static str;

    /// The claim it is about.
    fn claim_id(&self) -> &str;

    /// The body as JSON.
    fn body(&self) -> String;

    /// Reads the body of the given type.
    ///
    /// # Errors
    /// [`DecodeError::UnknownType`] or [`DecodeError::BadBody`].
    fn from_body(event_type: &str, body: &[u8]) -> Result<Self, DecodeError>;

    /// Wraps the event for its topic.
    ///
    /// `at` is when it became true (RFC 3339); `cause` is the id of the event or request that caused it.
    fn encode(
        &self,
        version: i64,
        at: String,
        correlation_id: &str,
        cause: &str,
        traceparent: Option<String>,
    ) -> Encoded {
        let event_type = self.event_type();
        let envelope = Envelope {
            id: Envelope::derive_id(self.claim_id(), event_type, version),
            event_type: event_type.to_owned(),
            source: Self::SOURCE.to_owned(),
            subject: self.claim_id().to_owned(),
            time: at,
            version,
            correlation_id: correlation_id.to_owned(),
            causation_id: cause.to_owned(),
            traceparent,
        };
        Encoded {
            topic: Self::TOPIC,
            key: self.claim_id().to_owned(),
            headers: envelope.to_headers(),
            event_id: envelope.id,
            body: self.body(),
        }
    }

    /// Reads a message back: its key, its headers (found by name) and its body.
    ///
    /// # Errors
    /// Names what is wrong and never echoes the body.
    fn decode<'a>(
        key: Option<&[u8]>,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
    ) -> Result<(Envelope, Self), DecodeError> {
        let envelope = Envelope::from_headers(header)?;
        let event = Self::from_body(&envelope.event_type, body)?;
        if key != Some(envelope.subject.as_bytes()) || event.claim_id() != envelope.subject {
            return Err(DecodeError::ForeignKey);
        }
        Ok((envelope, event))
    }
}

/// An event ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Where it goes.
    pub topic: &'static str,
    /// The message's key: the claim id.
    pub key: String,
    /// The envelope's id.
    pub event_id: String,
    /// The envelope.
    pub headers: Headers,
    /// The JSON body.
    pub body: String,
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("an event has only text keys and finite numbers, which always serialize")
}

pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    event_type: &'static str,
    body: &[u8],
) -> Result<T, DecodeError> {
    serde_json::from_slice(body).map_err(|error| DecodeError::BadBody(event_type, error.line(), error.column()))
}
