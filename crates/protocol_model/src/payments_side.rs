//! payments in the world: what its own decisions do to the saga, the ledger and the calls, written as its executor writes.
//!
//! The same saga and input always give the same write, so each is computed once and remembered.

use crate::gateway::{Answer, Book, Request};
use crate::messages::{ClaimMessage, PaymentMessage};
use crate::params::{Budget, Mutant, Params};
use crate::tables::{Incoming, Tables, Write};
use crate::world::{CLAIM, Call, Payments, World};
use claim_events::OutcomeKind;
use payments::domain::ledger::{Kind, Transfer, transfer_id};
use payments::domain::restore_marker::RestoreMarker;
use payments::domain::saga::{
    self, Attempts, ClaimUpdate, Disbursement, Input, LookUpAnswer, NextAttempt, PayAnswer, RefundAnswer, Saga, Trust,
};
use std::convert::Infallible;
use std::rc::Rc;

/// What the other amount is more than the amount.
const OTHER_BY_CENTS: i64 = 7;

impl World {
    /// Whether the saga waits for nothing but its pause or its lease.
    pub fn may_resume(&self, params: &Params, tables: &Tables) -> bool {
        let said_once = params.lacks(Mutant::UnaskedSaidOnce)
            && tables.memory.sagas.get(self.payments.saga).is_some_and(Saga::waits_for_record);
        self.payments.due && !said_once
    }

    /// Something comes to the saga, as `executor.rs` writes it: one world for each way the budget may be.
    ///
    /// # Errors
    /// What must never be.
    pub fn comes_to_payments(
        &self,
        incoming: Incoming,
        params: &Params,
        tables: &mut Tables,
    ) -> Result<Vec<World>, String> {
        let mut worlds = Vec::new();
        for covered in [true, false] {
            let may_be = match params.budget {
                Budget::Covers => covered,
                Budget::Lacks => !covered,
                Budget::Either => true,
            };
            if !may_be {
                continue;
            }
            let write = tables.decide(self, incoming, covered, params)?;
            worlds.push(self.written(&write, params, tables)?);
            if !write.asked_budget {
                break;
            }
        }
        Ok(worlds)
    }

    /// What `Executor::apply_effects` leaves in the database, and what goes out.
    fn written(&self, write: &Write, params: &Params, tables: &mut Tables) -> Result<World, String> {
        let mut world = *self;
        if write.changes_row {
            world.payments.saga = write.saga;
            match write.next {
                NextAttempt::AfterLease | NextAttempt::Stuck(_) | NextAttempt::Retry { .. } => {
                    world.payments.due = true
                }
                NextAttempt::Never => world.payments.due = false,
                NextAttempt::Unchanged => {}
            }
        }
        for transfer in &write.bookings {
            world.book_transfer(transfer, params)?;
        }
        for message in &write.published {
            world.payments_topic = tables.payments_topic.with(world.payments_topic, *message);
        }
        if let Some(request) = write.call {
            world.abandon_call(params);
            world.call = Some(Call::Asked(request));
        }
        match write.alarms.first() {
            Some(alarm) if !alarm.contains("another amount") => Err(format!("an alarm: {alarm}")),
            _ => Ok(world),
        }
    }

    /// What the unique keys of the ledger refuse must never be tried, and what is booked is what the gateway did.
    fn book_transfer(&mut self, transfer: &Transfer, params: &Params) -> Result<(), String> {
        let bit = |kind: Kind| 1_u8 << (kind as u8);
        let is_booked = |kind: Kind| self.payments.booked & bit(kind) != 0;
        if is_booked(transfer.kind) {
            return Err(format!("booked twice: {}", transfer.id));
        }
        let all = [
            Kind::Reserve,
            Kind::Post,
            Kind::Release,
            Kind::Disburse,
            Kind::Refund,
            Kind::Return,
            Kind::Reverse,
            Kind::Receivable,
        ];
        for named in [&transfer.ends_pending, &transfer.reverses].into_iter().flatten() {
            let Some(undone) = all.into_iter().find(|kind| transfer_id(CLAIM, *kind) == *named) else {
                return Err(format!("{} undoes {named}, which no transfer is", transfer.id));
            };
            if !is_booked(undone) {
                return Err(format!("{} undoes {named}, which is not booked", transfer.id));
            }
            let rivals: &[Kind] = match undone {
                Kind::Reserve => &[Kind::Post, Kind::Release],
                Kind::Disburse => &[Kind::Refund, Kind::Return],
                _ => &[],
            };
            if rivals.iter().any(|rival| is_booked(*rival)) {
                return Err(format!("{named} is undone twice"));
            }
        }
        let due = if transfer.kind == Kind::Receivable || params.amount_cents < 0 {
            -params.amount_cents
        } else {
            params.amount_cents
        };
        let paid = self.book.paid().map(|other| paid_cents(params, other));
        let (expected, has_happened) = match transfer.kind {
            Kind::Disburse => (paid, true),
            Kind::Refund => (paid, matches!(self.book, Book::Refunded { .. })),
            Kind::Return => (paid, matches!(self.book, Book::Returned { .. })),
            _ => (Some(due), true),
        };
        if expected != Some(transfer.amount_cents) || !has_happened {
            return Err(format!("{} over {} is not what happened", transfer.id, transfer.amount_cents));
        }
        self.payments.booked |= bit(transfer.kind);
        Ok(())
    }

    /// Whether a kind of transfer is booked.
    pub fn has_booked(&self, kind: Kind) -> bool {
        self.payments.booked & (1 << (kind as u8)) != 0
    }
}

fn paid_cents(params: &Params, other: bool) -> i64 {
    params.amount_cents + if other { OTHER_BY_CENTS } else { 0 }
}

impl Tables {
    fn decide(
        &mut self,
        world: &World,
        incoming: Incoming,
        covered: bool,
        params: &Params,
    ) -> Result<Rc<Write>, String> {
        let key = (world.payments.saga, world.payments.due, world.marker(), incoming, covered);
        if let Some(write) = self.memory.writes.get(&key) {
            return Ok(Rc::clone(write));
        }
        let write = Rc::new(self.write_of(world.payments, world.marker(), incoming, covered, params)?);
        self.memory.writes.insert(key, Rc::clone(&write));
        Ok(write)
    }

    /// What the production code decides of this, with the rule that `params` leaves out taken back.
    fn write_of(
        &mut self,
        payments: Payments,
        marker: RestoreMarker,
        incoming: Incoming,
        covered: bool,
        params: &Params,
    ) -> Result<Write, String> {
        let before = self.memory.sagas.get(payments.saga).cloned().map(|saga| saga.under(marker));
        let result = match (&before, input(incoming, before.as_ref(), params)) {
            (None, Input::Claim(update)) => saga::begin(&update, marker),
            (None, other) => return Err(format!("{other:?} comes to a saga that is not there")),
            (Some(before), input) => saga::advance(prepared(before.clone(), incoming, params), input),
        };
        let mut asked_budget = false;
        let Ok(mut plan) = saga::plan(result, |_| {
            asked_budget = true;
            Ok::<_, Infallible>(covered)
        });
        let mut changes_row = plan.changes_row(before.as_ref(), payments.due);
        spoil(&mut plan.saga, before.as_ref(), incoming, params);
        // How often something was tried decides only how long the next pause is.
        plan.saga.attempts = Attempts::default();
        let mut next = plan.next_attempt();
        let is_retried = matches!(next, NextAttempt::Retry { .. });
        if params.lacks(Mutant::RepeatEndsSaying) && !is_retried && plan.saga.waits_for_record() {
            next = NextAttempt::Never;
            changes_row |= payments.due;
        }
        let mut published = Vec::new();
        // As `payments/src/messages.rs` does: under the version that the saga has in the end.
        if let Some(outcome) = plan.saga.outcome {
            let contents = &mut self.contents;
            published.extend(plan.outcomes.iter().map(|event| PaymentMessage::new(event, outcome.version, contents)));
        }
        Ok(Write {
            saga: self.memory.sagas.number(&plan.saga),
            bookings: plan.bookings,
            published,
            call: plan.call.map(|call| request(&call, incoming, params)).transpose()?,
            next,
            changes_row,
            asked_budget,
            alarms: plan.alarms,
        })
    }
}

/// Whether an answer to an older call is handed to the saga, as `Executor::apply_answers` decides it.
///
/// # Errors
/// It contradicts what is known.
pub fn heard_late(saga: &Saga, answer: Answer, marker: RestoreMarker, params: &Params) -> Result<bool, &'static str> {
    let input = input(Incoming::Answer(answer), None, params);
    if saga.restore_marker == marker && saga.accepts_late(&input) {
        return Ok(true);
    }
    saga.contradiction(&input).map_or(Ok(false), Err)
}

/// What the executor hands to the saga.
fn input(incoming: Incoming, before: Option<&Saga>, params: &Params) -> Input {
    let cents = |other| paid_cents(params, other);
    let code = || "declined".to_owned();
    match incoming {
        Incoming::LateMessage(message) => match input(Incoming::Message(message), before, params) {
            Input::Claim(update) => Input::Claim(ClaimUpdate { too_late: true, ..update }),
            other => other,
        },
        Incoming::Message(ClaimMessage::Current { version, mut resync_epoch, known }) => {
            if params.lacks(Mutant::LowerAsksCount) {
                resync_epoch = resync_epoch.max(before.map_or(0, |saga| saga.resync_epoch));
            }
            Input::Claim(ClaimUpdate {
                claim_id: CLAIM.to_owned(),
                plan_group: "plan".to_owned(),
                provider_npi: "provider".to_owned(),
                amount_cents: params.amount_cents,
                submitted_at_us: World::submitted_at_us(),
                version,
                resync_epoch,
                known: match known {
                    Some(_) if params.lacks(Mutant::KnownOutcomeDropped) => None,
                    Some(known) if params.lacks(Mutant::KnownUnwoundIgnored) && known.kind == OutcomeKind::Unwound => {
                        None
                    }
                    other => other,
                },
                too_late: false,
            })
        }
        Incoming::Message(ClaimMessage::Recorded { known, resync_epoch }) => Input::Recorded { known, resync_epoch },
        Incoming::Resume => Input::Resume,
        Incoming::Returned { other } => Input::Returned { amount_cents: cents(other) },
        Incoming::Answer(answer) => match answer {
            Answer::Approved { other } => Input::PayAnswer(PayAnswer::Approved { amount_cents: cents(other) }),
            Answer::Declined => Input::PayAnswer(PayAnswer::Declined { code: code() }),
            Answer::Refunded => Input::RefundAnswer(RefundAnswer::Refunded),
            Answer::AlreadyReturned => Input::RefundAnswer(RefundAnswer::AlreadyReturned),
            Answer::Book(book) => reconcile(match book {
                Book::Empty => LookUpAnswer::NotFound,
                Book::Declined => LookUpAnswer::Declined { code: code() },
                Book::Paid { other } => LookUpAnswer::Paid { amount_cents: cents(other) },
                Book::Refunded { other } => LookUpAnswer::Refunded { amount_cents: cents(other) },
                Book::Returned { other } => LookUpAnswer::Returned { amount_cents: cents(other) },
            }),
            Answer::Unknown(Request::Pay | Request::PayOtherKey) => {
                Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: None })
            }
            Answer::Unknown(Request::Refund) => Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None }),
            Answer::Unknown(Request::LookUp) => reconcile(LookUpAnswer::Unknown { retry_after_ms: None }),
        },
    }
}

fn reconcile(answer: LookUpAnswer) -> Input {
    Input::LookedUp { answer, key_expired: false }
}

/// The request that a call is; its key must be the claim's own.
fn request(call: &saga::Call, incoming: Incoming, params: &Params) -> Result<Request, String> {
    match call {
        saga::Call::Pay { key, reference, amount_cents, .. }
            if key == "claim.disburse" && reference == CLAIM && *amount_cents == params.amount_cents =>
        {
            let again = incoming == Incoming::Resume && params.lacks(Mutant::RetryUnderNewKey);
            Ok(if again { Request::PayOtherKey } else { Request::Pay })
        }
        saga::Call::LookUp { key, reference } if key == "claim.disburse" && reference == CLAIM => Ok(Request::LookUp),
        saga::Call::Refund { key, reference, .. } if key == "claim.refund" && reference == CLAIM => Ok(Request::Refund),
        other => Err(format!("a request of another kind: {other:?}")),
    }
}

/// The saga as it is, or with the facts that a rule that is left out would leave in it.
fn prepared(mut saga: Saga, incoming: Incoming, params: &Params) -> Saga {
    match (params.mutant, incoming) {
        (Some(Mutant::NotFoundIsProof), Incoming::Answer(Answer::Book(Book::Empty)))
            if saga.trust == Trust::LookingUp
                && matches!(saga.disbursement, Disbursement::None | Disbursement::Intended) =>
        {
            saga.disbursement = Disbursement::None;
            saga.known_unwound = true;
            saga.unwinding.get_or_insert_with(no_payment);
        }
        (Some(Mutant::OwnEndIsProof), Incoming::Answer(Answer::Book(Book::Empty)))
            if saga.trust == Trust::LookingUp && saga.outcome.is_some() =>
        {
            saga.known_unwound = true;
        }
        (Some(Mutant::VoidDropsIntent), Incoming::Message(ClaimMessage::Current { version: 2, .. }))
            if saga.trust == Trust::Sure && saga.disbursement == Disbursement::Intended =>
        {
            saga.disbursement = Disbursement::None;
        }
        (Some(Mutant::DeadlineDropsIntent), Incoming::LateMessage(ClaimMessage::Current { .. }))
            if saga.trust == Trust::Sure && saga.disbursement == Disbursement::Intended =>
        {
            saga.disbursement = Disbursement::None;
            saga.unwinding.get_or_insert_with(no_payment);
        }
        _ => {}
    }
    saga
}

fn no_payment() -> saga::Unwinding {
    saga::Unwinding {
        cause: claim_events::Cause::Operator,
        failed_step: None,
        reason: payments::domain::reasons::Reason::returned(),
    }
}

/// Takes back what a rule that is left out did to the saga.
fn spoil(saga: &mut Saga, before: Option<&Saga>, incoming: Incoming, params: &Params) {
    let known_settled = match incoming {
        Incoming::Message(ClaimMessage::Current { known: Some(known), .. }) => known.kind == OutcomeKind::Settled,
        _ => false,
    };
    let old = before.and_then(|saga| saga.outcome);
    let own_next = old.map_or(0, |outcome| outcome.version) + 1;
    let was_unwound = old.is_some_and(|outcome| outcome.kind == OutcomeKind::Unwound);
    if let Some(before) = before {
        match (params.mutant, incoming) {
            (Some(Mutant::OlderKnowledgeCounts), Incoming::Message(_)) => saga.known_unwound |= before.known_unwound,
            (Some(Mutant::OwnEndUnwindsPayment), Incoming::Answer(Answer::Book(Book::Empty))) => {
                saga.unwinding.clone_from(&before.unwinding);
            }
            _ => {}
        }
    }
    if saga.outcome == old {
        return;
    }
    let Some(outcome) = &mut saga.outcome else { return };
    let was_raised = was_unwound && outcome.kind == OutcomeKind::Unwound && known_settled;
    let raised_by_message = was_unwound && !known_settled && matches!(incoming, Incoming::Message(_));
    match params.mutant {
        Some(Mutant::RestoredUnwoundNotRaised) if raised_by_message => saga.outcome = old,
        Some(Mutant::UnwoundNotRaised) if was_raised => saga.outcome = old,
        Some(Mutant::EndBelowKnown) if !was_raised => outcome.version = own_next,
        _ => {}
    }
}
