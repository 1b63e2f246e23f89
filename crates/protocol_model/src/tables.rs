//! What the small numbers in a world mean, and what payments decided before. Worlds are small because the values are here.

use crate::gateway::{Answer, Request};
use crate::intern::{FastMap, Interner};
use crate::messages::{ClaimMessage, PaymentMessage, Topic};
use payments::domain::ledger::Transfer;
use payments::domain::restore_marker::RestoreMarker;
use payments::domain::saga::{NextAttempt, Saga};
use std::rc::Rc;

/// What the numbers in worlds mean, and what was computed before.
#[derive(Debug, Default)]
pub struct Tables {
    /// claim_process's topic.
    pub claims_topic: Topic<ClaimMessage>,
    /// payments' topic.
    pub payments_topic: Topic<PaymentMessage>,
    /// What outcomes say besides kind and version.
    pub contents: Interner<String>,
    /// What payments' decisions were.
    pub memory: Memory,
}

/// What comes to a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Incoming {
    /// A message of claim_process.
    Message(ClaimMessage),
    /// A message of claim_process, after the deadline.
    LateMessage(ClaimMessage),
    /// An answer of the gateway.
    Answer(Answer),
    /// The gateway tells of a return.
    Returned {
        /// Of another amount than was asked for.
        other: bool,
    },
    /// Its pause or its lease is over.
    Resume,
}

/// One write of a saga, with what it brings.
#[derive(Debug, Clone)]
pub struct Write {
    pub(crate) saga: u32,
    pub(crate) bookings: Vec<Transfer>,
    pub(crate) published: Vec<PaymentMessage>,
    pub(crate) call: Option<Request>,
    pub(crate) next: NextAttempt,
    /// Whether the saga's row is written; it is not where an outcome is only published again.
    pub(crate) changes_row: bool,
    pub(crate) asked_budget: bool,
    pub(crate) alarms: Vec<&'static str>,
}

/// What was decided before.
#[derive(Debug, Default)]
pub struct Memory {
    /// Sagas by number.
    pub sagas: Interner<Saga>,
    pub(crate) writes: FastMap<(u32, bool, RestoreMarker, Incoming, bool), Rc<Write>>,
}
