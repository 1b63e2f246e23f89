//! The steps that can be taken from a world, and the worlds they lead to.

use crate::gateway::{Answer, Book, Request};
use crate::params::{Mutant, Params};
use crate::payments_side::{accepts_late, paid_cents};
use crate::tables::{Incoming, Tables};
use crate::world::{Call, Payments, SUBMITTED_AT_S, Snapshot, World};
use payments::domain::restore_marker::RestoreMarker;
use payments::domain::saga::{Disbursement, FailurePlacement, Saga, Trust};

/// One step of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// payments consumes a message, given by its number.
    PaymentsReads(u32),
    /// payments consumes a message after the claim's deadline, given by its number.
    PaymentsReadsLate(u32),
    /// claim_process consumes a message, given by its number.
    ClaimProcessReads(u32),
    /// The current call reaches the gateway, which sends its answer.
    CallIsServed,
    /// payments writes the answer to the current call.
    AnswerIsWritten,
    /// The current call times out; its request may still arrive.
    CallTimesOut,
    /// payments crashes: the answer to the current call is lost, and its request may still arrive.
    PaymentsCrashes,
    /// The saga's pause or lease has expired, and a worker resumes it.
    SagaResumes,
    /// A request whose sender no longer waits arrives at the gateway.
    StrayArrives(Request),
    /// payments writes an answer to an older call (only where a rule is left out).
    StaleAnswerIsWritten,
    /// A definite answer to an older call arrives; payments writes it if the saga waits for such an answer.
    LateAnswerArrives(Answer),
    /// The watchdog re-publishes the claim's current event.
    WatchdogRepublishes,
    /// The gateway's webhook reports a return to payments.
    ReturnIsReported,
    /// The operator runs `reannounce` after a restore of payments, which is mandatory.
    Reannounced,
    /// The operator runs `reannounce` without need.
    ReannouncedWithoutNeed,
    /// The sender voids the claim.
    Voided,
    /// The bank returns the payment.
    BankReturns,
    /// The refund fails after it was approved.
    RefundFails,
    /// The gateway's webhook reports that to payments.
    FailureIsReported,
    /// An operator retries the payment whose refund failed.
    OperatorRetries,
    /// Kafka loses the claims topic, the payments topic, or both.
    Wiped(bool, bool),
    /// A copy of payments' database is taken.
    PaymentsCopied,
    /// A copy of claim_process's database is taken.
    ClaimCopied,
    /// payments' database is restored from a copy.
    PaymentsRestored,
    /// payments' database is lost and created again, empty.
    PaymentsLost,
    /// claim_process's database is restored from its copy; the journal replays everything but outcomes.
    ClaimRestored,
}

/// A step from a world, and where it leads.
#[derive(Debug)]
pub struct Next {
    /// The step.
    pub step: Step,
    /// Whether the step needs neither a person nor a fault: such steps alone must lead to a world at rest.
    pub is_free: bool,
    /// The world after it, or the violated property.
    pub world: Result<World, String>,
}

struct Collector<'a> {
    from: &'a World,
    params: &'a Params,
    tables: &'a mut Tables,
    next: Vec<Next>,
}

/// Every step that can be taken from `from`.
pub fn after(from: &World, params: &Params, tables: &mut Tables) -> Vec<Next> {
    let mut collector = Collector { from, params, tables, next: Vec::new() };
    collector.messages();
    collector.gateway();
    collector.background();
    collector.people();
    collector.disasters();
    let Collector { mut next, params, tables, .. } = collector;
    for world in next.iter_mut().filter_map(|next| next.world.as_mut().ok()) {
        world.tidy(params, tables);
    }
    next
}

impl Collector<'_> {
    fn add(&mut self, step: Step, is_free: bool, world: Result<World, String>) {
        self.next.push(Next { step, is_free, world });
    }

    fn input(&mut self, step: Step, is_free: bool, world: &World, incoming: Incoming) {
        match world.apply_to_payments(incoming, self.params, self.tables) {
            Ok(worlds) => worlds.into_iter().for_each(|world| self.add(step, is_free, Ok(world))),
            Err(what) => self.add(step, is_free, Err(what)),
        }
    }

    fn messages(&mut self) {
        let from = *self.from;
        for number in self.tables.claims_topic.numbers(from.claims_topic) {
            let message = *self.tables.claims_topic.messages.value(number);
            let is_record = matches!(message, crate::messages::ClaimMessage::Recorded { .. });
            if !(is_record && from.payments.saga == 0) {
                self.input(Step::PaymentsReads(number), true, &from, Incoming::Message(message));
                if self.params.late_messages {
                    self.input(Step::PaymentsReadsLate(number), false, &from, Incoming::LateMessage(message));
                }
            }
        }
        for number in self.tables.payments_topic.numbers(from.payments_topic) {
            let message = *self.tables.payments_topic.messages.value(number);
            let mut world = from;
            let read = world.apply_outcome(message, self.params, self.tables);
            self.add(Step::ClaimProcessReads(number), true, read.map(|()| world).map_err(str::to_owned));
        }
    }

    fn gateway(&mut self) {
        let from = *self.from;
        match from.call {
            Some(Call::Sent(request)) => {
                self.serve(Step::CallIsServed, request, |world, answer| world.call = Some(Call::Answered(answer)));
                let mut world = from;
                world.abandon_call(self.params);
                self.input(Step::CallTimesOut, false, &world, Incoming::Answer(Answer::Unknown(request)));
            }
            Some(Call::Answered(answer)) => {
                let world = World { call: None, ..from };
                self.input(Step::AnswerIsWritten, true, &world, Incoming::Answer(answer));
            }
            None => {}
        }
        if from.call.is_some() {
            let mut world = from;
            world.abandon_call(self.params);
            self.add(Step::PaymentsCrashes, false, Ok(world));
        }
        if from.strays.pay {
            self.serve(Step::StrayArrives(Request::Pay), Request::Pay, |world, _| world.strays.pay = false);
        }
        if from.strays.refund {
            let request = Request::Refund;
            self.serve(Step::StrayArrives(request), request, |world, _| world.strays.refund = false);
        }
        if from.strays.refund_again {
            let request = Request::RefundAgain;
            self.serve(Step::StrayArrives(request), request, |world, _| world.strays.refund_again = false);
        }
        if let Some(answer) = from.strays.answer {
            let mut world = from;
            world.strays.answer = None;
            if from.payments.saga == 0 {
                self.add(Step::StaleAnswerIsWritten, true, Ok(world));
            } else {
                self.input(Step::StaleAnswerIsWritten, true, &world, Incoming::Answer(answer));
            }
        }
        if from.webhook {
            self.report_return();
        }
        if from.failure_webhook {
            self.report_failed_refund();
        }
        self.late_answers();
    }

    /// Any definite answer that the gateway has sent may arrive at any later time, and more than once.
    fn late_answers(&mut self) {
        let from = *self.from;
        for answer in from.book.answers_sent(from.refund_failed) {
            let Some(saga) = self.tables.memory.sagas.get(from.payments.saga) else { return };
            let step = Step::LateAnswerArrives(answer);
            match accepts_late(saga, answer, from.marker(), self.params) {
                Ok(true) => self.input(step, false, &from, Incoming::Answer(answer)),
                Ok(false) => {}
                Err(what) => self.add(step, false, Err(what.to_owned())),
            }
        }
    }

    fn serve(&mut self, step: Step, request: Request, then: impl Fn(&mut World, Answer)) {
        let from = *self.from;
        match from.book.serve(request, from.refund_failed, self.params.verdicts) {
            Ok(served) => {
                for (book, answer) in served {
                    let mut world = World { book, ..from };
                    then(&mut world, answer);
                    self.add(step, true, Ok(world));
                }
            }
            Err(what) => self.add(step, true, Err(what.to_owned())),
        }
    }

    /// payments does not acknowledge a return that it cannot place, so the gateway sends the webhook again: as long as there is
    /// no saga, or the saga is unverified.
    fn report_return(&mut self) {
        let (from, Book::Returned { other }) = (*self.from, self.from.book) else { return };
        let Some(saga) = self.tables.memory.sagas.get(from.payments.saga) else { return };
        let saga = saga.clone().under(from.marker());
        let reported = World { webhook: false, ..from };
        if saga.trust != Trust::Sure {
            return;
        }
        if self.params.lacks(Mutant::EarlyReturnIgnored) && saga.disbursement == Disbursement::Intended {
            return self.add(Step::ReturnIsReported, true, Ok(reported));
        }
        self.input(Step::ReturnIsReported, true, &reported, Incoming::Returned { other });
    }

    /// payments keeps a report that it cannot place, and places it as soon as it can.
    fn report_failed_refund(&mut self) {
        let from = *self.from;
        let Some(other) = from.book.paid() else { return };
        let Some(saga) = self.tables.memory.sagas.get(from.payments.saga) else { return };
        let saga = saga.clone().under(from.marker());
        if saga.trust != Trust::Sure {
            return;
        }
        let paid_cents = paid_cents(self.params, other);
        let reported = World { failure_webhook: false, ..from };
        match saga.place_refund_failure("claim.refund", paid_cents, Some(paid_cents)) {
            FailurePlacement::Failed => {
                self.input(Step::FailureIsReported, true, &reported, Incoming::RefundFailed { other })
            }
            FailurePlacement::Known => self.add(Step::FailureIsReported, true, Ok(reported)),
            FailurePlacement::Impossible(_) => {}
        }
    }

    fn background(&mut self) {
        let from = *self.from;
        let failed = |saga: &Saga| matches!(saga.disbursement, Disbursement::RefundFailed { .. });
        if self.tables.memory.sagas.get(from.payments.saga).is_some_and(failed) {
            self.input(Step::OperatorRetries, true, &from, Incoming::Retried);
        }
        if from.may_resume(self.params, self.tables) {
            self.input(Step::SagaResumes, true, &from, Incoming::Resume);
        }
        if from.claim.due && !self.params.lacks(Mutant::NoRepublishing) {
            let mut world = from;
            world.publish_current(self.tables);
            self.add(Step::WatchdogRepublishes, true, Ok(world));
        }
        let is_unsolicited = from.restored && from.claim.resync_epoch <= from.marker_s;
        if is_unsolicited && !self.params.lacks(Mutant::NotReannounced) {
            let mut world = from;
            world.raise_epoch();
            self.add(Step::Reannounced, true, Ok(world));
        }
    }

    fn people(&mut self) {
        let from = *self.from;
        if from.left.extra_resyncs > 0 {
            let mut world = from;
            world.left.extra_resyncs -= 1;
            world.raise_epoch();
            self.add(Step::ReannouncedWithoutNeed, false, Ok(world));
        }
        if from.left.voids > 0 {
            let mut world = from;
            world.left.voids -= 1;
            if world.void(self.tables) {
                self.add(Step::Voided, false, Ok(world));
            }
        }
        if let (1.., Book::Paid { other }) = (from.left.returns, from.book) {
            let mut world = World { book: Book::Returned { other }, webhook: true, ..from };
            world.left.returns -= 1;
            self.add(Step::BankReturns, false, Ok(world));
        }
    }

    fn disasters(&mut self) {
        let from = *self.from;
        if let (true, false, Book::Refunded { other }) = (self.params.refund_may_fail, from.refund_failed, from.book) {
            let world = World { book: Book::Paid { other }, refund_failed: true, failure_webhook: true, ..from };
            self.add(Step::RefundFails, false, Ok(world));
        }
        if from.left.wipes > 0 {
            for (claims, payments) in [(true, true), (true, false), (false, true)] {
                let mut world = from;
                world.left.wipes -= 1;
                world.claims_topic = if claims { 0 } else { world.claims_topic };
                world.payments_topic = if payments { 0 } else { world.payments_topic };
                let forgets = world.claims_topic != from.claims_topic || world.payments_topic != from.payments_topic;
                if forgets {
                    self.add(Step::Wiped(claims, payments), false, Ok(world));
                }
            }
        }
        if from.left.payments_restores > 0 {
            let copies = from.payments_copies;
            let is_new = copies.iter().flatten().all(|snapshot| snapshot.copy != from.payments);
            let slots = copies.iter().take(usize::from(self.params.copies));
            let free = slots.clone().position(|slot| slot.is_none_or(|snapshot| snapshot.was_used));
            if let (Some(slot), true, 1..) = (free, is_new, from.payments.saga) {
                let mut world = from;
                world.payments_copies[slot] = Some(Snapshot { copy: from.payments, was_used: false });
                self.add(Step::PaymentsCopied, false, Ok(world));
            }
            for (slot, snapshot) in copies.into_iter().enumerate().filter_map(|(slot, copy)| Some((slot, copy?))) {
                let mut world = self.restored(snapshot.copy);
                world.payments_copies[slot] = Some(Snapshot { was_used: true, ..snapshot });
                self.add(Step::PaymentsRestored, false, Ok(world));
            }
            let world = self.restored(Payments::default());
            self.add(Step::PaymentsLost, false, Ok(world));
        }
        if from.left.claim_restores > 0 {
            let may_copy = from.claim_copy.is_none_or(|snapshot| snapshot.was_used);
            if may_copy {
                let copy = Snapshot { copy: from.claim, was_used: false };
                self.add(Step::ClaimCopied, false, Ok(World { claim_copy: Some(copy), ..from }));
            }
            if let Some(snapshot) = from.claim_copy {
                let mut world = World { claim_copy: Some(Snapshot { was_used: true, ..snapshot }), ..from };
                world.left.claim_restores -= 1;
                let restored = world.restore_claim(snapshot.copy);
                self.add(Step::ClaimRestored, false, restored.map(|()| world).map_err(str::to_owned));
            }
        }
    }

    /// payments stops, its database is restored to `copy`, and the restore marker is set.
    fn restored(&mut self, copy: Payments) -> World {
        let mut world = *self.from;
        world.abandon_call(self.params);
        world.left.payments_restores -= 1;
        world.payments = copy;
        if self.params.lacks(Mutant::RestoreWithoutMarker) {
            return world;
        }
        world.marker_s = world.later();
        if self.params.lacks(Mutant::MarkerNotLater) {
            // Later than the claim's submission and the previous marker, but not later than the claim's resync epoch.
            let earliest = (self.from.marker_s + 1).max(SUBMITTED_AT_S + 1);
            world.marker_s = world.claim.resync_epoch.saturating_sub(1).max(earliest);
        }
        world.restored = !self.params.lacks(Mutant::ActsBeforeReannounced);
        let marker: RestoreMarker = world.marker();
        if let Some(saga) = self.tables.memory.sagas.get(copy.saga) {
            // Every read converts the saga to the current marker; converting it here saves states.
            let saga = saga.clone().under(marker);
            world.payments.saga = self.tables.memory.sagas.number(&saga);
        }
        world
    }
}

impl Step {
    /// The step in words, with the message that it consumes.
    pub fn describe(self, tables: &Tables) -> String {
        match self {
            Step::PaymentsReads(number) => {
                format!("payments consumes {:?}", tables.claims_topic.messages.value(number))
            }
            Step::ClaimProcessReads(number) => {
                format!("claim_process consumes {:?}", tables.payments_topic.messages.value(number))
            }
            other => format!("{other:?}"),
        }
    }
}
