//! payments in the model: applies the decisions of `payments` to the saga, the ledger and the calls, as its executor does.
//!
//! The decisions are pure functions, so each result is computed once and cached.

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

/// The difference between another amount and the requested one.
const OTHER_BY_CENTS: i64 = 7;

impl World {
    /// Whether a worker may resume the saga: its pause or lease is all that it waits for.
    pub fn may_resume(&self, params: &Params, tables: &Tables) -> bool {
        let publishes_once = params.lacks(Mutant::UnsolicitedPublishedOnce)
            && tables.memory.sagas.get(self.payments.saga).is_some_and(Saga::waits_for_record);
        self.payments.due && !publishes_once
    }

    /// Applies an input to the saga as the executor does. Returns one world for each state that the budget may have.
    ///
    /// # Errors
    /// The violated property.
    pub fn apply_to_payments(
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
            if !write.checked_budget {
                break;
            }
        }
        Ok(worlds)
    }

    /// The world after `Executor::apply_effects`: the database and the published events.
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
        if write.drops_call {
            world.abandon_call(params);
        }
        if let Some(request) = write.call {
            world.abandon_call(params);
            world.call = Some(Call::Sent(request));
        }
        match write.alarms.first() {
            Some(alarm) if !alarm.contains("another amount") && !alarm.contains("a refund failed") => {
                Err(format!("an alarm: {alarm}"))
            }
            _ => Ok(world),
        }
    }

    /// Books a transfer. It must not violate a unique key of the ledger, and must match the gateway's book.
    fn book_transfer(&mut self, transfer: &Transfer, params: &Params) -> Result<(), String> {
        let unknown = || format!("{} is not a transfer of the claim", transfer.id);
        let own = Booking::of_id(&transfer.id).ok_or_else(unknown)?;
        if self.has(own) {
            return Err(format!("booked twice: {}", transfer.id));
        }
        for named in [&transfer.ends_pending, &transfer.reverses].into_iter().flatten() {
            let Some(undone) = Booking::of_id(named) else {
                return Err(format!("{} undoes {named}, which is not a transfer", transfer.id));
            };
            if !self.has(undone) {
                return Err(format!("{} undoes {named}, which is not booked", transfer.id));
            }
            let [first, second] = [Booking::First, Booking::Second];
            let rivals: &[Booking] = match undone {
                Booking::First(Kind::Reserve) => &[first(Kind::Post), first(Kind::Release)],
                Booking::First(Kind::Disburse) => &[first(Kind::Refund), first(Kind::Return)],
                Booking::First(Kind::RefundFailed) => &[second(Kind::Refund), second(Kind::Return)],
                _ => &[],
            };
            if rivals.iter().any(|rival| self.has(*rival)) {
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
            // The first one may have failed since.
            Kind::Refund if own == Booking::First(Kind::Refund) && self.refund_failed => (paid, true),
            Kind::Refund => (paid, matches!(self.book, Book::Refunded { .. })),
            Kind::RefundFailed => (paid, self.refund_failed),
            Kind::Return => (paid, matches!(self.book, Book::Returned { .. })),
            _ => (Some(due), true),
        };
        if expected != Some(transfer.amount_cents) || !has_happened {
            return Err(format!("{} over {} does not match the gateway's book", transfer.id, transfer.amount_cents));
        }
        self.payments.booked |= own.bit();
        Ok(())
    }

    /// Whether a transfer is booked.
    pub fn has(&self, booking: Booking) -> bool {
        self.payments.booked & booking.bit() != 0
    }

    /// Whether the first transfer of a kind is booked.
    pub fn has_booked(&self, kind: Kind) -> bool {
        self.has(Booking::First(kind))
    }
}

/// A transfer of the claim: the first of its kind, or the second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booking {
    /// The first.
    First(Kind),
    /// The second, which only refunds and returns have.
    Second(Kind),
}

impl Booking {
    const KINDS: [Kind; 9] = [
        Kind::Reserve,
        Kind::Post,
        Kind::Release,
        Kind::Disburse,
        Kind::Refund,
        Kind::Return,
        Kind::Reverse,
        Kind::Receivable,
        Kind::RefundFailed,
    ];

    /// The transfer with this id.
    fn of_id(id: &str) -> Option<Self> {
        let of = |id: &str| Self::KINDS.into_iter().find(|kind| transfer_id(CLAIM, *kind) == id);
        match id.strip_suffix(".2") {
            Some(first) => of(first).filter(|kind| matches!(kind, Kind::Refund | Kind::Return)).map(Booking::Second),
            None => of(id).map(Booking::First),
        }
    }

    fn bit(self) -> u16 {
        match self {
            Booking::First(kind) => 1 << (kind as u8),
            Booking::Second(Kind::Refund) => 1 << 14,
            Booking::Second(_) => 1 << 15,
        }
    }
}

pub(crate) fn paid_cents(params: &Params, other: bool) -> i64 {
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

    /// The decision of the production code, without the rule that `params` leaves out.
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
            (None, other) => return Err(format!("{other:?} without a saga")),
            (Some(before), input) => saga::advance(prepared(before.clone(), incoming, params), input),
        };
        let mut checked_budget = false;
        let Ok(mut plan) = saga::plan(result, |_| {
            checked_budget = true;
            Ok::<_, Infallible>(covered)
        });
        let mut changes_row = plan.changes_row(before.as_ref(), payments.due);
        let failed_refunds = before.as_ref().map_or(0, |before| before.failed_refunds);
        let drops_call = plan.saga.failed_refunds != failed_refunds;
        spoil(&mut plan.saga, before.as_ref(), incoming, params);
        // The number of attempts decides only the length of the next pause.
        plan.saga.attempts = Attempts::default();
        let mut next = plan.next_attempt();
        let is_retried = matches!(next, NextAttempt::Retry { .. });
        if params.lacks(Mutant::DuplicateEndsRepublishing) && !is_retried && plan.saga.waits_for_record() {
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
            checked_budget,
            drops_call,
            alarms: plan.alarms,
        })
    }
}

/// Whether the saga accepts an answer to an older call, as `Executor::apply_answers` decides.
///
/// # Errors
/// The answer contradicts the saga.
pub fn accepts_late(saga: &Saga, answer: Answer, marker: RestoreMarker, params: &Params) -> Result<bool, &'static str> {
    let input = input(Incoming::Answer(answer), None, params);
    if saga.restore_marker == marker && saga.accepts_late(&input) {
        return Ok(true);
    }
    saga.contradiction(&input).map_or(Ok(false), Err)
}

/// The input that the executor passes to the saga.
fn input(incoming: Incoming, before: Option<&Saga>, params: &Params) -> Input {
    let cents = |other| paid_cents(params, other);
    let code = || "declined".to_owned();
    match incoming {
        Incoming::LateMessage(message) => match input(Incoming::Message(message), before, params) {
            Input::Claim(update) => Input::Claim(ClaimUpdate { too_late: true, ..update }),
            other => other,
        },
        Incoming::Message(ClaimMessage::Current { version, mut resync_epoch, known }) => {
            if params.lacks(Mutant::LowerEpochsCount) {
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
        Incoming::Retried => Input::Retried { is_stuck: true },
        Incoming::RefundFailed { other } => Input::RefundFailed { amount_cents: cents(other) },
        Incoming::Returned { other } => Input::Returned { amount_cents: cents(other) },
        Incoming::Answer(answer) => match answer {
            Answer::Approved { other } => Input::PayAnswer(PayAnswer::Approved { amount_cents: cents(other) }),
            Answer::Declined => Input::PayAnswer(PayAnswer::Declined { code: code() }),
            Answer::Refunded => Input::RefundAnswer(RefundAnswer::Refunded),
            Answer::AlreadyReturned => Input::RefundAnswer(RefundAnswer::AlreadyReturned),
            Answer::RefundFailed => Input::RefundAnswer(RefundAnswer::Failed),
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
            Answer::Unknown(Request::Refund | Request::RefundAgain) => {
                Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None })
            }
            Answer::Unknown(Request::LookUp) => reconcile(LookUpAnswer::Unknown { retry_after_ms: None }),
        },
    }
}

fn reconcile(answer: LookUpAnswer) -> Input {
    Input::LookedUp { answer, key_expired: false }
}

/// The request of a call. Its key must be the claim's own.
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
        saga::Call::Refund { key, reference, .. } if key == "claim.refund.2" && reference == CLAIM => {
            Ok(Request::RefundAgain)
        }
        other => Err(format!("an unexpected request: {other:?}")),
    }
}

/// The saga before it advances, changed as the faulty behaviour of the mutant changes it.
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
        (Some(Mutant::OwnOutcomeIsProof), Incoming::Answer(Answer::Book(Book::Empty)))
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

/// Reverts what the rule that the mutant leaves out did to the saga.
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
            (Some(Mutant::OwnOutcomeUnwindsPayment), Incoming::Answer(Answer::Book(Book::Empty))) => {
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
        Some(Mutant::OutcomeBelowKnown) if !was_raised => outcome.version = own_next,
        _ => {}
    }
}
