//! What the unit tests of the saga begin with.

use super::{ClaimUpdate, Disbursement, Input, Saga, advance, begin};
use crate::domain::restore_marker::RestoreMarker;
use claim_events::{KnownOutcome, OutcomeKind};

/// The submission of a claim over 1.00, with the outcome that claim_process knows.
pub(super) fn update(known: Option<(OutcomeKind, i64)>) -> ClaimUpdate {
    ClaimUpdate {
        claim_id: "claim".into(),
        plan_group: "plan".into(),
        provider_npi: "1497775530".into(),
        amount_cents: 100,
        submitted_at_us: 0,
        version: 1,
        resync_epoch: 0,
        known: known.map(|(kind, version)| KnownOutcome { kind, version }),
        too_late: false,
    }
}

/// The saga of that claim, reserved and with its intent to disburse stored.
pub(super) fn intended(known: Option<(OutcomeKind, i64)>) -> Saga {
    let (saga, _) = begin(&update(known), RestoreMarker::default());
    let (saga, _) = advance(saga, Input::Reserved { covered: true });
    assert_eq!(saga.disbursement, Disbursement::Intended);
    saga
}
