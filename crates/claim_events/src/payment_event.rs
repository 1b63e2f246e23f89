//! The events of payments: a claim's payment was settled, or it was unwound, with the compensations done.

use crate::event::{from_json, to_json};
use crate::{DecodeError, Event, PAYMENT_TOPIC};
use serde::{Deserialize, Serialize};
use text_enum::text_enum;
use utoipa::ToSchema;

/// An event of payments: the outcome of a claim's payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentEvent {
    /// `payment.settled`.
    Settled(Settled),
    /// `payment.unwound`.
    Unwound(Unwound),
}

text_enum! {
    /// The two ends of a payment, with the types of the events that report them.
    #[derive(ToSchema)]
    pub enum OutcomeKind {
        /// Paid.
        Settled = "payment.settled",
        /// Not paid, or paid back.
        Unwound = "payment.unwound",
    }
}

/// Body of `payment.settled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The claim.
    pub claim_id: String,
    /// The version of the claim that this answers: 1 submitted, 2 void requested.
    pub claim_version: i64,
    /// The highest resync epoch that payments received for the claim, in unix seconds.
    pub resync_epoch: i64,
    /// Whether claim_process did not request this outcome: a late return, or an operator's action.
    pub unsolicited: bool,
    /// What was paid, in cents; below zero where it was booked as owed by the provider.
    pub amount_cents: i64,
    /// The ids of the ledger transfers in effect.
    pub transfer_ids: Vec<String>,
}

/// Body of `payment.unwound`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwound {
    /// The claim.
    pub claim_id: String,
    /// The version of the claim that this answers: 1 submitted, 2 void requested.
    pub claim_version: i64,
    /// The highest resync epoch that payments received for the claim, in unix seconds.
    pub resync_epoch: i64,
    /// Whether claim_process did not request this outcome: a late return, or an operator's action.
    pub unsolicited: bool,
    /// Why.
    pub cause: Cause,
    /// The step that failed, where one did.
    pub failed_step: Option<Step>,
    /// A short, stable code for the reason, where there is one.
    pub reason_code: Option<String>,
    /// The reason in words, fit for a biller's eyes.
    pub reason: Option<String>,
    /// The compensations, in the order in which they were done.
    pub compensations: Vec<Compensation>,
}

/// Why a payment was unwound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A step failed.
    StepFailed,
    /// The claim was voided.
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
    /// Settled or unwound.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            PaymentEvent::Settled(_) => OutcomeKind::Settled,
            PaymentEvent::Unwound(_) => OutcomeKind::Unwound,
        }
    }

    /// The version of the claim that it answers: 1 submitted, 2 void requested.
    pub fn claim_version(&self) -> i64 {
        match self {
            PaymentEvent::Settled(settled) => settled.claim_version,
            PaymentEvent::Unwound(unwound) => unwound.claim_version,
        }
    }

    /// The resync epoch that it echoes.
    pub fn resync_epoch(&self) -> i64 {
        match self {
            PaymentEvent::Settled(settled) => settled.resync_epoch,
            PaymentEvent::Unwound(unwound) => unwound.resync_epoch,
        }
    }

    /// Whether it reports the same outcome as `other`. The version it answers and the epoch it echoes may differ between two
    /// publications of one outcome.
    pub fn tells_the_same_end_as(&self, other: &Self) -> bool {
        match (self, other) {
            (PaymentEvent::Settled(one), PaymentEvent::Settled(other)) => {
                let Settled { claim_version, resync_epoch, unsolicited, .. } = *other;
                Settled { claim_version, resync_epoch, unsolicited, ..one.clone() } == *other
            }
            (PaymentEvent::Unwound(one), PaymentEvent::Unwound(other)) => {
                let Unwound { claim_version, resync_epoch, unsolicited, .. } = *other;
                Unwound { claim_version, resync_epoch, unsolicited, ..one.clone() } == *other
            }
            (PaymentEvent::Settled(_), PaymentEvent::Unwound(_))
            | (PaymentEvent::Unwound(_), PaymentEvent::Settled(_)) => false,
        }
    }

    /// Whether claim_process did not request it.
    pub fn unsolicited(&self) -> bool {
        match self {
            PaymentEvent::Settled(settled) => settled.unsolicited,
            PaymentEvent::Unwound(unwound) => unwound.unsolicited,
        }
    }
}

impl Event for PaymentEvent {
    const TOPIC: &'static str = PAYMENT_TOPIC;
    const SOURCE: &'static str = "/payments";
    const TYPES: &'static [&'static str] = &[OutcomeKind::Settled.as_str(), OutcomeKind::Unwound.as_str()];

    fn event_type(&self) -> &'static str {
        self.kind().as_str()
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
        let kind: OutcomeKind = event_type.parse().map_err(|_| DecodeError::UnknownType)?;
        match kind {
            OutcomeKind::Settled => from_json(kind.as_str(), body).map(PaymentEvent::Settled),
            OutcomeKind::Unwound => from_json(kind.as_str(), body).map(PaymentEvent::Unwound),
        }
    }
}
