//! The values behind the numbers in a world, and the cached decisions of payments. Keeping them here keeps worlds small.

use crate::gateway::{Answer, Request};
use crate::intern::{FastMap, Interner};
use crate::messages::{ClaimMessage, PaymentMessage, Topic};
use payments::domain::ledger::Transfer;
use payments::domain::restore_marker::RestoreMarker;
use payments::domain::saga::{NextAttempt, Saga};
use std::rc::Rc;

/// The values behind the numbers in worlds, and the cached decisions.
#[derive(Debug, Default)]
pub struct Tables {
    /// The topic that claim_process publishes to.
    pub claims_topic: Topic<ClaimMessage>,
    /// The topic that payments publishes to.
    pub payments_topic: Topic<PaymentMessage>,
    /// The content of outcomes besides kind and version.
    pub contents: Interner<String>,
    /// The cached decisions of payments.
    pub memory: Memory,
}

/// An input to a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Incoming {
    /// A message of claim_process.
    Message(ClaimMessage),
    /// A message of claim_process that arrives after the claim's deadline.
    LateMessage(ClaimMessage),
    /// An answer from the gateway.
    Answer(Answer),
    /// The gateway reports a return.
    Returned {
        /// Of a payment of another amount than requested.
        other: bool,
    },
    /// The gateway reports that the first refund failed.
    RefundFailed {
        /// Of a payment of another amount than requested.
        other: bool,
    },
    /// An operator retries the payment, whose refund failed.
    Retried,
    /// The saga's pause or lease has expired.
    Resume,
}

/// One write of a saga, with its effects.
#[derive(Debug, Clone)]
pub struct Write {
    pub(crate) saga: u32,
    pub(crate) bookings: Vec<Transfer>,
    pub(crate) published: Vec<PaymentMessage>,
    pub(crate) call: Option<Request>,
    pub(crate) next: NextAttempt,
    /// Whether the saga's row is written. It is not if an outcome is only re-published.
    pub(crate) changes_row: bool,
    pub(crate) checked_budget: bool,
    /// Whether the answer to the current call does not count any more.
    pub(crate) drops_call: bool,
    pub(crate) alarms: Vec<&'static str>,
}

/// The cached decisions.
#[derive(Debug, Default)]
pub struct Memory {
    /// Sagas by number.
    pub sagas: Interner<Saga>,
    pub(crate) writes: FastMap<(u32, bool, RestoreMarker, Incoming, bool), Rc<Write>>,
}
