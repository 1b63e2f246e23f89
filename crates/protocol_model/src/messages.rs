//! The messages on the two topics, reduced to what the protocol depends on, and topics as sets of messages.

use crate::intern::Interner;
use claim_events::{KnownOutcome, OutcomeKind, PaymentEvent};

/// A message that claim_process publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimMessage {
    /// The claim's current event: `claim.submitted` (1) or `claim.void_requested` (2).
    Current {
        /// The claim's version.
        version: i64,
        /// The claim's resync epoch.
        resync_epoch: i64,
        /// The outcome that claim_process knows.
        known: Option<KnownOutcome>,
    },
    /// `claim.outcome_recorded`.
    Recorded {
        /// The outcome that claim_process has recorded.
        known: KnownOutcome,
        /// The claim's resync epoch.
        resync_epoch: i64,
    },
}

/// A message that payments publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaymentMessage {
    /// Settled or unwound.
    pub kind: OutcomeKind,
    /// The payment's version.
    pub version: i64,
    /// The version of the claim that it answers.
    pub claim_version: i64,
    /// The resync epoch that it echoes.
    pub resync_epoch: i64,
    /// Whether payments published it without a request.
    pub unsolicited: bool,
    /// The number of the remaining content: messages that differ in it report different outcomes.
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
    /// The message that publishes `event` under `version`.
    pub fn new(event: &PaymentEvent, version: i64, contents: &mut Interner<String>) -> Self {
        // Fields that `PaymentEvent::tells_the_same_end_as` ignores get a fixed value; the others are compared as text.
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

    /// The set with one more message.
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

    /// The set reduced to the messages for which `wanted` is true.
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
