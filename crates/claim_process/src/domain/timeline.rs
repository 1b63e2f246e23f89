//! What a claim's timeline shows.

use claim_events::OutcomeKind;
use text_enum::text_enum;

text_enum! {
    /// What happened to a claim, by the type of the event that reports it.
    pub enum TimelineEvent {
        /// It was accepted.
        Submitted = "claim.submitted",
        /// It was voided.
        VoidRequested = "claim.void_requested",
        /// It was paid.
        Settled = "payment.settled",
        /// It was not paid, or paid back.
        Unwound = "payment.unwound",
    }
}

impl From<OutcomeKind> for TimelineEvent {
    fn from(kind: OutcomeKind) -> Self {
        match kind {
            OutcomeKind::Settled => TimelineEvent::Settled,
            OutcomeKind::Unwound => TimelineEvent::Unwound,
        }
    }
}
