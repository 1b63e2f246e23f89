//! What payments says: a claim's payment was settled, or it was unwound and what was undone.

use crate::event::{from_json, to_json};
use crate::{DecodeError, Event, PAYMENT_TOPIC};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An event of payments: the outcome of a claim's payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentEvent {
    /// `payment.settled`.
    Settled(Settled),
    /// `payment.unwound`.
    Unwound(Unwound),
}

/// The two ends of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum OutcomeKind {
    /// Paid.
    #[serde(rename = "payment.settled")]
    Settled,
    /// Not paid, or paid back.
    #[serde(rename = "payment.unwound")]
    Unwound,
}

/// Body of `payment.settled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The claim.
    pub claim_id: String,
    /// The version of the claim that this answers: 1 submitted, 2 void requested.
    pub claim_version: i64,
    /// The highest ask that payments saw for the claim.
    pub ask: i64,
    /// Whether nobody asked for this outcome.
    pub unasked: bool,
    /// What was paid, in cents; below zero where it was booked as owed by the provider.
    pub amount_cents: i64,
    /// The ledger transfers that stand, by id.
    pub transfer_ids: Vec<String>,
}

/// Body of `payment.unwound`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwound {
    /// The claim.
    pub claim_id: String,
    /// The version of the claim that this answers: 1 submitted, 2 void requested.
    pub claim_version: i64,
    /// The highest ask that payments saw for the claim.
    pub ask: i64,
    /// Whether nobody asked for this outcome.
    pub unasked: bool,
    /// Why.
    pub cause: Cause,
    /// The step that failed, where one did.
    pub failed_step: Option<Step>,
    /// A short, stable code for the reason, where there is one.
    pub reason_code: Option<String>,
    /// The reason in words, fit for a biller's eyes.
    pub reason: Option<String>,
    /// What was undone, in the order in which it was done.
    pub compensations: Vec<Compensation>,
}

/// Why a payment was unwound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A step failed.
    StepFailed,
    /// The claim was withdrawn.
    VoidRequested,
    /// The money came back after the payment was settled.
    LateReturn,
    /// The payment was not begun in time.
    Deadline,
    /// An operator ended it.
    Operator,
}

/// A step of the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The plan's budget is reserved.
    Reserve,
    /// The provider is paid through the gateway.
    Disburse,
    /// The reservation becomes final.
    Post,
}

/// What undoes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compensation {
    /// Undoes `reserve`.
    Release,
    /// Undoes `disburse`.
    Refund,
    /// Undoes `post`.
    Reverse,
}

impl PaymentEvent {
    /// Which end it tells.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            PaymentEvent::Settled(_) => OutcomeKind::Settled,
            PaymentEvent::Unwound(_) => OutcomeKind::Unwound,
        }
    }

    /// The version of the claim that it answers.
    pub fn claim_version(&self) -> i64 {
        match self {
            PaymentEvent::Settled(settled) => settled.claim_version,
            PaymentEvent::Unwound(unwound) => unwound.claim_version,
        }
    }

    /// The ask that it echoes.
    pub fn ask(&self) -> i64 {
        match self {
            PaymentEvent::Settled(settled) => settled.ask,
            PaymentEvent::Unwound(unwound) => unwound.ask,
        }
    }

    /// Whether it tells the same end as `other`. What it answers and echoes may differ each time it is said.
    pub fn tells_the_same_end_as(&self, other: &Self) -> bool {
        match (self, other) {
            (PaymentEvent::Settled(one), PaymentEvent::Settled(other)) => {
                let Settled { claim_version, ask, unasked, .. } = *other;
                Settled { claim_version, ask, unasked, ..one.clone() } == *other
            }
            (PaymentEvent::Unwound(one), PaymentEvent::Unwound(other)) => {
                let Unwound { claim_version, ask, unasked, .. } = *other;
                Unwound { claim_version, ask, unasked, ..one.clone() } == *other
            }
            (PaymentEvent::Settled(_), PaymentEvent::Unwound(_))
            | (PaymentEvent::Unwound(_), PaymentEvent::Settled(_)) => false,
        }
    }

    /// Whether nobody asked for it.
    pub fn unasked(&self) -> bool {
        match self {
            PaymentEvent::Settled(settled) => settled.unasked,
            PaymentEvent::Unwound(unwound) => unwound.unasked,
        }
    }
}

impl OutcomeKind {
    /// The event type that says it.
    pub fn event_type(self) -> &'static str {
        match self {
            OutcomeKind::Settled => "payment.settled",
            OutcomeKind::Unwound => "payment.unwound",
        }
    }

    /// Reads an event type.
    pub fn from_event_type(event_type: &str) -> Option<Self> {
        [OutcomeKind::Settled, OutcomeKind::Unwound].into_iter().find(|kind| kind.event_type() == event_type)
    }
}

impl Event for PaymentEvent {
    const TOPIC: &'static str = PAYMENT_TOPIC;
    const SOURCE: &'static str = "/payments";
    const TYPES: &'static [&'static str] = &["payment.settled", "payment.unwound"];

    fn event_type(&self) -> &'static str {
        self.kind().event_type()
    }

    fn claim_id(&self) -> &str {
        match self {
            PaymentEvent::Settled(settled) => &settled.claim_id,
            PaymentEvent::Unwound(unwound) => &unwound.claim_id,
        }
    }

    fn body(&self) -> String {
        match self {
            PaymentEvent::Settled(settled) => to_json(settled),
            PaymentEvent::Unwound(unwound) => to_json(unwound),
        }
    }

    fn from_body(event_type: &str, body: &[u8]) -> Result<Self, DecodeError> {
        match event_type {
            "payment.settled" => from_json("payment.settled", body).map(PaymentEvent::Settled),
            "payment.unwound" => from_json("payment.unwound", body).map(PaymentEvent::Unwound),
            _ => Err(DecodeError::UnknownType),
        }
    }
}
