//! The states of a claim and the transitions between them, as pure functions: [`apply`] for an outcome that arrives from
//! payments, [`void`] for a request to void the claim.
//!
//! [`apply`] decides in this order:
//!
//! 1. An outcome that echoes an older resync epoch than the claim's is ignored. It does not answer the claim's event.
//! 2. An outcome with the version of the recorded one and other content is a contradiction: [`Effect::Alarm`].
//! 3. An outcome whose version is not higher than the recorded one changes nothing, nor does a settlement of any version
//!    after a recorded unwinding.
//! 4. Every other outcome is recorded, and the claim's status becomes what this table says:
//!
//! | status | `payment.settled` | `payment.unwound` | a void |
//! |---|---|---|---|
//! | submitted | settled | unwound | void_requested |
//! | settled | settled | unwound | void_requested |
//! | void_requested | void_requested | unwound | no change: voided before |
//! | unwound | no change: rule 3 | unwound | no change if it was voided before, else refused |
//!
//! Unwound is absorbing. It is entered at most once, and on entry the net fee leaves the provider's total.
//!
//! Whether an outcome *answers* the claim's current event, so that it need not be re-requested, does not depend on whether
//! it is recorded: a repeat answers as well. An unwinding always answers. A settlement answers only a claim that is neither
//! voided nor unwound.

use claim_events::{KnownOutcome, OutcomeKind};
use text_enum::text_enum;
use utoipa::ToSchema;

text_enum! {
    /// The status of a claim.
    #[derive(ToSchema)]
    #[schema(as = StatusName)]
    pub enum Status {
        /// Accepted, and to be paid.
        Submitted = "submitted",
        /// Voided, and to be unwound.
        VoidRequested = "void_requested",
        /// Paid.
        Settled = "settled",
        /// Not paid, or paid back. Final.
        Unwound = "unwound",
    }
}

/// The part of a claim that its transitions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// Its status.
    pub status: Status,
    /// The version of its current event: 1 submitted, 2 void requested.
    pub version: i64,
    /// Its resync epoch, in unix seconds; 0 unless `reannounce` raised it.
    pub resync_epoch: i64,
    /// The recorded outcome.
    pub outcome: Option<KnownOutcome>,
}

/// An outcome that arrives from payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// Settled or unwound.
    pub kind: OutcomeKind,
    /// The payment's version.
    pub version: i64,
    /// The version of the claim's event that it answers.
    pub claim_version: i64,
    /// The resync epoch that it echoes, in unix seconds.
    pub resync_epoch: i64,
    /// Whether its content differs from the recorded outcome: another kind, amount, reason or compensations.
    pub differs: bool,
}

/// What an outcome does to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is recorded: rule 1 or 3 of the [module](self).
    Nothing {
        /// Whether the outcome nevertheless answers the claim's current event.
        answers: bool,
    },
    /// The outcome contradicts the recorded one (rule 2). Nothing is recorded, and an operator must look at it.
    Alarm,
    /// The outcome is recorded (rule 4).
    Applied {
        /// The claim's new status.
        status: Status,
        /// Whether the claim was not unwound before and is now: its net fee leaves the provider's total.
        entered_unwound: bool,
        /// Whether the outcome answers the claim's current event.
        answers: bool,
    },
}

/// What a request to void a claim does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Void {
    /// The claim is voided, and has this status now.
    Accepted(Status),
    /// The claim was voided before: it is being unwound, or is unwound.
    Already,
    /// The claim is unwound for another cause.
    Refused,
}

/// What a request to void a claim in `state` does.
pub fn void(state: State) -> Void {
    match (state.version, state.status) {
        (2.., _) => Void::Already,
        (_, Status::Unwound) => Void::Refused,
        (_, Status::Submitted | Status::VoidRequested | Status::Settled) => Void::Accepted(Status::VoidRequested),
    }
}

/// What `arrival` does to a claim in `state`.
pub fn apply(state: State, arrival: Arrival) -> Effect {
    if arrival.resync_epoch < state.resync_epoch {
        return Effect::Nothing { answers: false };
    }
    let answers = answers(state, arrival);
    if let Some(known) = state.outcome {
        if arrival.version == known.version && arrival.differs {
            return Effect::Alarm;
        }
        let is_news = arrival.version > known.version;
        let undoes_unwound = known.kind == OutcomeKind::Unwound && arrival.kind == OutcomeKind::Settled;
        if !is_news || undoes_unwound {
            return Effect::Nothing { answers };
        }
    }
    let status = match (state.status, arrival.kind) {
        (Status::Unwound, _) | (_, OutcomeKind::Unwound) => Status::Unwound,
        // The settlement is recorded; the void is still to be answered.
        (Status::VoidRequested, OutcomeKind::Settled) => Status::VoidRequested,
        (Status::Submitted | Status::Settled, OutcomeKind::Settled) => Status::Settled,
    };
    let entered_unwound = status == Status::Unwound && state.status != Status::Unwound;
    Effect::Applied { status, entered_unwound, answers }
}

/// Whether an outcome answers the claim's current event. A settlement of a voided or unwound claim does not: payments has
/// yet to undo it. An unwinding always does, because nothing can follow it.
fn answers(state: State, arrival: Arrival) -> bool {
    match arrival.kind {
        OutcomeKind::Unwound => true,
        OutcomeKind::Settled => state.version == 1 && state.status != Status::Unwound && arrival.claim_version >= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutcomeKind::{Settled, Unwound};
    use proptest::prelude::*;

    const NEW: State = State { status: Status::Submitted, version: 1, resync_epoch: 0, outcome: None };

    fn arrival(kind: OutcomeKind, version: i64, claim_version: i64) -> Arrival {
        Arrival { kind, version, claim_version, resync_epoch: 0, differs: false }
    }

    fn applied(status: Status, entered_unwound: bool, answers: bool) -> Effect {
        Effect::Applied { status, entered_unwound, answers }
    }

    fn state(status: Status, version: i64, outcome: Option<OutcomeKind>) -> State {
        State { status, version, outcome: outcome.map(|kind| KnownOutcome { kind, version: 1 }), ..NEW }
    }

    /// Every state that a claim can be in, with what a settlement, an unwinding and a void make of it.
    #[test]
    fn the_table_of_states() {
        let settles = applied(Status::Settled, false, true);
        let stays_void_requested = applied(Status::VoidRequested, false, false);
        let enters_unwound = applied(Status::Unwound, true, true);
        let stays_unwound = applied(Status::Unwound, false, true);
        let ignored = Effect::Nothing { answers: false };
        let voids = Void::Accepted(Status::VoidRequested);
        for (state, on_settled, on_unwound, on_void) in [
            (NEW, settles, enters_unwound, voids),
            (state(Status::Settled, 1, Some(Settled)), settles, enters_unwound, voids),
            (state(Status::VoidRequested, 2, None), stays_void_requested, enters_unwound, Void::Already),
            (state(Status::VoidRequested, 2, Some(Settled)), stays_void_requested, enters_unwound, Void::Already),
            (state(Status::Unwound, 1, Some(Unwound)), ignored, stays_unwound, Void::Refused),
            (state(Status::Unwound, 2, Some(Unwound)), ignored, stays_unwound, Void::Already),
        ] {
            assert_eq!(apply(state, arrival(Settled, 2, state.version)), on_settled, "{state:?}");
            assert_eq!(apply(state, arrival(Unwound, 2, state.version)), on_unwound, "{state:?}");
            assert_eq!(void(state), on_void, "{state:?}");
        }
    }

    #[test]
    fn repeats_and_latecomers_change_nothing_and_a_contradiction_is_an_alarm() {
        let unwound =
            State { status: Status::Unwound, outcome: Some(KnownOutcome { kind: Unwound, version: 2 }), ..NEW };
        assert_eq!(apply(unwound, arrival(Unwound, 2, 1)), Effect::Nothing { answers: true });
        assert_eq!(apply(unwound, arrival(Settled, 1, 1)), Effect::Nothing { answers: false });
        assert_eq!(apply(unwound, arrival(Settled, 3, 1)), Effect::Nothing { answers: false });
        assert_eq!(apply(unwound, Arrival { differs: true, ..arrival(Settled, 2, 1) }), Effect::Alarm);
        assert_eq!(apply(unwound, Arrival { differs: true, ..arrival(Unwound, 2, 1) }), Effect::Alarm);
        assert_eq!(apply(unwound, arrival(Unwound, 3, 1)), applied(Status::Unwound, false, true));
    }

    #[test]
    fn no_settlement_of_any_version_replaces_an_unwinding() {
        let known = KnownOutcome { kind: Unwound, version: 2 };
        let unwound = State { status: Status::Unwound, outcome: Some(known), ..NEW };
        for state in [unwound, State { version: 2, ..unwound }] {
            for version in [3, 4, 5, 6, 1_000, i64::MAX] {
                for claim_version in 1..3 {
                    // The contents differ; that is a contradiction only under the same version.
                    let settled = Arrival { differs: true, ..arrival(Settled, version, claim_version) };
                    assert_eq!(apply(state, settled), Effect::Nothing { answers: false }, "{state:?} {settled:?}");
                }
            }
        }
    }

    #[test]
    fn an_outcome_of_an_older_resync_epoch_is_ignored() {
        let raised = State { resync_epoch: 5, ..NEW };
        assert_eq!(
            apply(raised, Arrival { resync_epoch: 4, ..arrival(Settled, 1, 1) }),
            Effect::Nothing { answers: false }
        );
        assert_eq!(
            apply(raised, Arrival { resync_epoch: 5, ..arrival(Settled, 1, 1) }),
            applied(Status::Settled, false, true)
        );
    }

    proptest! {
        /// In whatever order outcomes come, and however often, unwound stays unwound and is entered at most once.
        #[test]
        fn unwound_is_absorbing_and_entered_once(arrivals in proptest::collection::vec((any::<bool>(), 1..9_i64, 1..3_i64), 0..12)) {
            let mut state = NEW;
            let mut entered = 0;
            for (settled, version, claim_version) in arrivals {
                let kind = if settled { Settled } else { Unwound };
                let (before, known) = (state.status, state.outcome);
                let differs = state.outcome.is_some_and(|known| known.kind != kind);
                let arrival = Arrival { differs, ..arrival(kind, version, claim_version) };
                if let Effect::Applied { status, entered_unwound, .. } = apply(state, arrival) {
                    entered += u32::from(entered_unwound);
                    state.status = status;
                    state.outcome = Some(KnownOutcome { kind, version });
                }
                prop_assert!(before != Status::Unwound || state.status == Status::Unwound);
                let is_unwound = |outcome: Option<KnownOutcome>| outcome.is_some_and(|known| known.kind == Unwound);
                prop_assert!(!is_unwound(known) || is_unwound(state.outcome));
            }
            prop_assert_eq!(entered, u32::from(state.status == Status::Unwound));
        }
    }
}
