//! The messages on the two topics, as far as anything depends on them, and topics as sets of them.

use crate::intern::Interner;
use claim_events::{KnownOutcome, OutcomeKind, PaymentEvent};

/// A message of claim_process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimMessage {
    /// The claim's current event: `claim.submitted` (1) or `claim.void_requested` (2).
    Current {
        /// Its version.
        version: i64,
        /// Its ask.
        resync_epoch: i64,
        /// The outcome it knows.
        known: Option<KnownOutcome>,
    },
    /// `claim.outcome_recorded`.
    Recorded {
        /// The outcome it has.
        known: KnownOutcome,
        /// Its ask.
        resync_epoch: i64,
    },
}

/// A message of payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaymentMessage {
    /// Settled or unwound.
    pub kind: OutcomeKind,
    /// The payment's version.
    pub version: i64,
    /// The claim's version that it answers.
    pub claim_version: i64,
    /// The resync epoch that it echoes.
    pub resync_epoch: i64,
    /// Whether nobody asked.
    pub unsolicited: bool,
    /// The number of what else it says: two that differ in it tell different ends.
    pub content: u32,
}

impl ClaimMessage {
    /// The resync epoch.
    pub fn resync_epoch(&self) -> i64 {
        match self {
            ClaimMessage::Current { resync_epoch, .. } | ClaimMessage::Recorded { resync_epoch, .. } => *resync_epoch,
        }
    }
}

impl PaymentMessage {
    /// The message that says `event` under `version`.
    pub fn new(event: &PaymentEvent, version: i64, contents: &mut Interner<String>) -> Self {
        // What `PaymentEvent::tells_the_same_end_as` leaves out is set to one value, and the rest compared by its text.
        let mut plain = event.clone();
        let (claim_version, resync_epoch, unsolicited) = match &mut plain {
            PaymentEvent::Settled(body) => (&mut body.claim_version, &mut body.resync_epoch, &mut body.unsolicited),
            PaymentEvent::Unwound(body) => (&mut body.claim_version, &mut body.resync_epoch, &mut body.unsolicited),
        };
        (*claim_version, *resync_epoch, *unsolicited) = (0, 0, false);
        debug_assert!(plain.tells_the_same_end_as(event));
        Self {
            kind: event.kind(),
            version,
            claim_version: event.claim_version(),
            resync_epoch: event.resync_epoch(),
            unsolicited: event.unsolicited(),
            content: contents.number(&format!("{plain:?}")),
        }
    }
}

/// A topic: a set of messages, by number.
#[derive(Debug)]
pub struct Topic<M> {
    /// The messages.
    pub messages: Interner<M>,
    sets: Interner<Vec<u32>>,
}

impl<M> Default for Topic<M> {
    fn default() -> Self {
        Self { messages: Interner::default(), sets: Interner::default() }
    }
}

impl<M: Copy + Eq + std::hash::Hash> Topic<M> {
    /// The numbers of the messages in a set.
    pub fn numbers(&self, set: u32) -> Vec<u32> {
        self.sets.get(set).cloned().unwrap_or_default()
    }

    /// The set with a message more.
    pub fn with(&mut self, set: u32, message: M) -> u32 {
        let number = self.messages.number(&message);
        let mut numbers = self.numbers(set);
        match numbers.binary_search(&number) {
            Ok(_) => set,
            Err(at) => {
                numbers.insert(at, number);
                self.sets.number(&numbers)
            }
        }
    }

    /// The set with only the messages that are wanted.
    pub fn retain(&mut self, set: u32, wanted: impl Fn(&M) -> bool) -> u32 {
        let Some(numbers) = self.sets.get(set) else { return 0 };
        let kept: Vec<u32> = numbers.iter().copied().filter(|number| wanted(self.messages.value(*number))).collect();
        if kept.is_empty() {
            0
        } else if kept.len() == numbers.len() {
            set
        } else {
            self.sets.number(&kept)
        }
    }
}
