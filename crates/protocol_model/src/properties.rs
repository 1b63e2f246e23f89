//! The properties of a world at rest, and which worlds are at rest.

use crate::gateway::Book;
use crate::params::Params;
use crate::payments_side::Booking;
use crate::tables::Tables;
use crate::world::World;
use claim_events::OutcomeKind;
use claim_process::domain::transition::Status;
use payments::domain::ledger::Kind;
use payments::domain::saga::{State, Trust};

/// Whether no further step happens by itself: no service waits for or repeats anything, and no request is on its way. Messages
/// in the topics do not count: they may be wiped, and no service would miss them.
pub fn is_at_rest(world: &World, tables: &Tables) -> bool {
    let Some(saga) = tables.memory.sagas.get(world.payments.saga) else { return false };
    !world.claim.due
        && !world.payments.due
        && saga.trust == Trust::Sure
        && saga.restore_marker == world.marker()
        && saga.is_at_rest()
        && world.call.is_none()
        && !world.strays.pay
        && !world.strays.refund
        && world.strays.answer.is_none()
        && !world.strays.refund_again
        && !world.webhook
        && !world.failure_webhook
}

/// The violated property of a world at rest, if any.
pub fn flaw_at_rest(world: &World, params: &Params, tables: &Tables) -> Option<String> {
    let saga = tables.memory.sagas.get(world.payments.saga)?;
    let claim = &world.claim;
    let is_out = world.book.is_out();
    let expected_kind = match claim.status {
        Status::Settled => OutcomeKind::Settled,
        Status::Unwound => OutcomeKind::Unwound,
        Status::Submitted | Status::VoidRequested => {
            return Some(format!("at rest, and the claim is {}", claim.status.as_str()));
        }
    };
    let saga_kind = match saga.state() {
        State::Settled => OutcomeKind::Settled,
        State::Unwound => OutcomeKind::Unwound,
        other => return Some(format!("at rest, and the saga is {}", other.as_str())),
    };
    if expected_kind != saga_kind {
        return Some(format!("the claim is {}, the saga is {}", claim.status.as_str(), saga.state().as_str()));
    }
    if claim.version == 2 && claim.status != Status::Unwound {
        return Some("an accepted void did not end unwound".to_owned());
    }
    let settled = claim.status == Status::Settled;
    let may_be_out = settled && params.amount_cents > 0;
    if is_out != may_be_out || (settled && world.book.paid() == Some(true)) {
        return Some(format!("the claim is {}, and the gateway's book is {:?}", claim.status.as_str(), world.book));
    }
    flaw_of_the_ledger(world, params, settled)
}

fn flaw_of_the_ledger(world: &World, params: &Params, settled: bool) -> Option<String> {
    let has = |kind| world.has_booked(kind);
    let refunds = (has(Kind::Refund) && !has(Kind::RefundFailed)) || world.has(Booking::Second(Kind::Refund));
    let returns = has(Kind::Return) || world.has(Booking::Second(Kind::Return));
    let cash_fits = has(Kind::Disburse) == world.book.paid().is_some()
        && refunds == matches!(world.book, Book::Refunded { .. })
        && returns == matches!(world.book, Book::Returned { .. });
    if !cash_fits {
        return Some("the ledger's cash differs from the gateway's book".to_owned());
    }
    if has(Kind::Reserve) && !has(Kind::Post) && !has(Kind::Release) {
        return Some("a reservation is left pending".to_owned());
    }
    let is_posted = (has(Kind::Post) || has(Kind::Receivable)) && !has(Kind::Reverse);
    if is_posted != (settled && params.amount_cents != 0) {
        return Some("the plan's budget does not match the outcome".to_owned());
    }
    None
}
