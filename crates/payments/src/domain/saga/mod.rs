//! The saga of one claim's payment: reserve, disburse, post, and what undoes them.
//!
//! A saga is a set of facts: what stands at the ledger and what is known of the gateway. [`advance`] takes a saga and an
//! input and returns the saga as it is to be written, with the effects of that write. It never waits and never calls: a
//! gateway call is an effect to be performed *after* the write that holds its intent, and its answer is the next input.
//!
//! `received` is what a claim's event does, `steps` the way forward and back, `inquiry` how an answer is sought that the
//! gateway does not give, `returned` what is made of money that comes back or fails to, `reconcile` what is made of facts that
//! may be older than the world, `operator` what people do about a saga that does not get on.
//!
//! **The money rule.** Once an intent to disburse is stored, the same key is sent again until the answer is definite,
//! whatever else has happened meanwhile; only then is it refunded, if the saga is unwinding. No look-up, time-out or
//! void may stand in for an answer, because a request that was sent can still be delivered at any later time.

mod facts;
#[cfg(test)]
mod fixture;
mod input;
mod inquiry;
mod operator;
mod received;
mod reconcile;
mod returned;
mod steps;
mod write_plan;

use super::ledger::Repeats;
use super::restore_marker::RestoreMarker;

pub use super::gateway_call::{Call, LookUpAnswer, PayAnswer, PlannedCall, RefundAnswer};
pub use facts::{
    Attempts, Disbursement, Inquiry, Outcome, PaymentState, Reservation, Saga, State, Trust, Unwinding, Waiting,
};
pub use input::{Answer, ClaimUpdate, Effect, Forced, Input};
pub use operator::ActionKind;
pub use returned::{BookedReturn, FailurePlacement, Placement};
pub use write_plan::{NextAttempt, WritePlan, plan};

/// What `input` makes of `saga`: the saga as it is to be written, and what that write brings with it.
pub fn advance(mut saga: Saga, input: Input) -> (Saga, Vec<Effect>) {
    let mut effects = Vec::new();
    match input {
        Input::Claim(update) => saga.receive(&update, &mut effects),
        Input::Recorded { known, resync_epoch } => saga.recorded(known, resync_epoch),
        Input::Reserved { covered } => saga.reserved(covered, &mut effects),
        Input::Resume => saga.resume(&mut effects),
        Input::PayAnswer(answer) => saga.pay_answered(answer, &mut effects),
        Input::RefundAnswer(answer) => saga.refund_answered(&answer, &mut effects),
        Input::LookedUp { answer, key_expired } if saga.trust == Trust::Sure => {
            saga.looked_up(answer, key_expired, &mut effects)
        }
        Input::LookedUp { answer, key_expired } => saga.reconcile(answer, key_expired, &mut effects),
        Input::RefundFailed { amount_cents } => saga.refund_failed(amount_cents, &mut effects),
        Input::Returned { amount_cents } => saga.returned(amount_cents, &mut effects),
        Input::Retried { is_stuck } => saga.retried(is_stuck, &mut effects),
        Input::Forced(answer) => saga.forced(answer, &mut effects),
    }
    if saga.retried_wait != saga.waiting() {
        saga.retried_wait = None;
    }
    (saga, effects)
}

/// Begins the saga of a claim at its first event, whichever that is, in a database with this marker.
pub fn begin(update: &ClaimUpdate, marker: RestoreMarker) -> (Saga, Vec<Effect>) {
    let saga = Saga {
        claim_id: update.claim_id.clone(),
        plan_group: update.plan_group.clone(),
        provider_npi: update.provider_npi.clone(),
        amount_cents: update.amount_cents,
        claim_version: 0,
        resync_epoch: 0,
        known_version: 0,
        known_unwound: false,
        reservation: Reservation::None,
        disbursement: Disbursement::None,
        unwinding: None,
        compensations: Vec::new(),
        outcome: None,
        unsolicited: false,
        attempts: Attempts::default(),
        inquiry: Inquiry::default(),
        failed_refunds: 0,
        repeats: Repeats::default(),
        retried_wait: None,
        restore_marker: marker,
        trust: if update.submitted_at_us < marker.at_us { Trust::Unverified } else { Trust::Sure },
    };
    advance(saga, Input::Claim(update.clone()))
}
