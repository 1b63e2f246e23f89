//! `payment.attention`, which informs that a payment needs a person, and the two kinds of message on payments' topic.

use crate::event::{from_json, to_json};
use crate::{DecodeError, Event, PAYMENT_TOPIC, PaymentEvent};
use serde::{Deserialize, Serialize};

/// Body of `payment.attention`: a payment needs a person, or no longer does. Informational: it changes no status and no
/// version. The version in its envelope is the revision of the payment's saga, which only rises, so that a reader can ignore an
/// event that is late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAttention {
    /// The claim.
    pub claim_id: String,
    /// The highest resync epoch that payments received for the claim, in unix seconds. Revisions of different epochs cannot be
    /// compared: a lost database begins again.
    pub resync_epoch: i64,
    /// Whether the payment needs a person now.
    pub raised: bool,
    /// Why, in words for an operator; `None` where it no longer does.
    pub reason: Option<String>,
}

/// A message on payments' topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentMessage {
    /// The outcome of a payment.
    Outcome(PaymentEvent),
    /// `payment.attention`.
    Attention(PaymentAttention),
}

impl Event for PaymentMessage {
    const TOPIC: &'static str = PAYMENT_TOPIC;
    const SOURCE: &'static str = PaymentEvent::SOURCE;
    const TYPES: &'static [&'static str] = &["payment.settled", "payment.unwound", "payment.attention"];

    fn event_type(&self) -> &'static str {
        match self {
            PaymentMessage::Outcome(outcome) => outcome.event_type(),
            PaymentMessage::Attention(_) => "payment.attention",
        }
    }

    fn claim_id(&self) -> &str {
        match self {
            PaymentMessage::Outcome(outcome) => outcome.claim_id(),
            PaymentMessage::Attention(attention) => &attention.claim_id,
        }
    }

    fn body(&self) -> String {
        match self {
            PaymentMessage::Outcome(outcome) => outcome.body(),
            PaymentMessage::Attention(attention) => to_json(attention),
        }
    }

    fn from_body(event_type: &str, body: &[u8]) -> Result<Self, DecodeError> {
        match event_type {
            "payment.attention" => from_json("payment.attention", body).map(PaymentMessage::Attention),
            _ => PaymentEvent::from_body(event_type, body).map(PaymentMessage::Outcome),
        }
    }
}
