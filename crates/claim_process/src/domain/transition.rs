//! What an outcome makes of a claim: the table of states, as one pure function.
//!
//! An outcome is applied only if its version is higher than the one the claim has, so a repeat or a late arrival changes
//! nothing; the same version with other content is an alarm.

use claim_events::{KnownOutcome, OutcomeKind};
use serde::{Deserialize, Serialize};

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, and to be paid.
    Submitted,
    /// Withdrawn, and to be unwound.
    VoidRequested,
    /// Paid.
    Settled,
    /// Not paid, or paid back. For good.
    Unwound,
}

impl Status {
    /// All there are.
    pub const ALL: [Status; 4] = [Status::Submitted, Status::VoidRequested, Status::Settled, Status::Unwound];

    /// Its name in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Status::Submitted => "submitted",
            Status::VoidRequested => "void_requested",
            Status::Settled => "settled",
            Status::Unwound => "unwound",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What of a claim decides what an outcome does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// Where it stands.
    pub status: Status,
    /// The version of its current event: 1 submitted, 2 void requested.
    pub version: i64,
    /// How often it was asked for anew.
    pub resync_epoch: i64,
    /// The outcome it has.
    pub outcome: Option<KnownOutcome>,
}

/// An outcome as it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// Settled or unwound.
    pub kind: OutcomeKind,
    /// The payment's version.
    pub version: i64,
    /// The version of the claim that it answers.
    pub claim_version: i64,
    /// The resync epoch that it echoes.
    pub resync_epoch: i64,
    /// Whether it tells another end than the outcome the claim has: another kind, amount, reason or compensations.
    pub differs: bool,
}

/// What an arrival does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it echoes an older resync epoch, or it is no newer than the outcome the claim has. `answers` tells whether it is
    /// nevertheless the answer that was waited for, so that nobody need ask again.
    Nothing {
        /// Whether the claim's current event is answered by it.
        answers: bool,
    },
    /// The same version says another end: somebody made a mistake, and somebody must look.
    Alarm,
    /// The outcome is noted.
    Applied {
        /// Where the claim stands now.
        status: Status,
        /// Whether it is unwound by this: its net fee leaves the provider's total, once.
        entered_unwound: bool,
        /// Whether the claim's current event is answered by it.
        answers: bool,
    },
}

/// What a request to withdraw a claim does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Void {
    /// It is withdrawn from now on, and stands here.
    Accepted(Status),
    /// It was withdrawn before; what was asked for has happened or will.
    Already,
    /// It is unwound for another cause: nothing is left to withdraw.
    Refused,
}

/// What a request to withdraw does to a claim in `state`.
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
        // The settlement is noted; the void is still to be answered.
        (Status::VoidRequested, OutcomeKind::Settled) => Status::VoidRequested,
        (Status::Submitted | Status::Settled, OutcomeKind::Settled) => Status::Settled,
    };
    let entered_unwound = status == Status::Unwound && state.status != Status::Unwound;
    Effect::Applied { status, entered_unwound, answers }
}

/// Whether an arrival answers the claim's current event. A settlement answers neither a void nor a claim that is unwound:
/// payments has still to undo it. An unwinding answers everything, because nothing can follow it.
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

    #[test]
    fn the_table_of_states() {
        let voided = State { status: Status::VoidRequested, version: 2, ..NEW };
        let settled =
            State { status: Status::Settled, outcome: Some(KnownOutcome { kind: Settled, version: 1 }), ..NEW };
        assert_eq!(apply(NEW, arrival(Settled, 1, 1)), applied(Status::Settled, false, true));
        assert_eq!(apply(NEW, arrival(Unwound, 1, 1)), applied(Status::Unwound, true, true));
        assert_eq!(apply(settled, arrival(Unwound, 2, 1)), applied(Status::Unwound, true, true));
        assert_eq!(apply(voided, arrival(Settled, 1, 1)), applied(Status::VoidRequested, false, false));
        assert_eq!(apply(voided, arrival(Unwound, 1, 2)), applied(Status::Unwound, true, true));
    }

    #[test]
    fn a_claim_can_be_withdrawn_once_until_it_is_unwound() {
        let settled =
            State { status: Status::Settled, outcome: Some(KnownOutcome { kind: Settled, version: 1 }), ..NEW };
        let unwound =
            State { status: Status::Unwound, outcome: Some(KnownOutcome { kind: Unwound, version: 1 }), ..NEW };
        assert_eq!(void(NEW), Void::Accepted(Status::VoidRequested));
        assert_eq!(void(settled), Void::Accepted(Status::VoidRequested));
        assert_eq!(void(unwound), Void::Refused);
        assert_eq!(void(State { status: Status::VoidRequested, version: 2, ..settled }), Void::Already);
        assert_eq!(void(State { version: 2, ..unwound }), Void::Already);
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
    fn an_answer_to_an_older_ask_is_ignored() {
        let asked = State { resync_epoch: 5, ..NEW };
        assert_eq!(
            apply(asked, Arrival { resync_epoch: 4, ..arrival(Settled, 1, 1) }),
            Effect::Nothing { answers: false }
        );
        assert_eq!(
            apply(asked, Arrival { resync_epoch: 5, ..arrival(Settled, 1, 1) }),
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
