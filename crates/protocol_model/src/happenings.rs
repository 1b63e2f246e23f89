//! What can happen in a world, and the worlds that come of it.

use crate::gateway::{Answer, Book, Request};
use crate::params::{Mutant, Params};
use crate::payments_side::heard_late;
use crate::tables::{Incoming, Tables};
use crate::world::{Call, Payments, SUBMITTED_AT_S, Snapshot, World};
use payments::domain::restore_marker::RestoreMarker;
use payments::domain::saga::{Disbursement, Trust};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// payments reads a message, by its number.
    PaymentsReads(u32),
    /// payments reads a message after the claim's deadline, by its number.
    PaymentsReadsLate(u32),
    /// claim_process reads a message, by its number.
    ClaimProcessReads(u32),
    /// The call in hand reaches the gateway, and its answer sets out.
    CallIsServed,
    /// The answer to the call in hand is written.
    AnswerIsWritten,
    /// The call in hand is given up as unanswered; the request may still arrive.
    CallTimesOut,
    /// payments stops: the answer to the call in hand is lost, and the request may still arrive.
    PaymentsCrashes,
    /// The saga's pause or lease is over.
    SagaIsTakenUp,
    /// A request that nobody waits for arrives at the gateway.
    StrayArrives(Request),
    /// An answer to an older call is written (only where a rule is left out).
    StaleAnswerIsWritten,
    /// A definite answer to an older call comes, and is written if it is what the saga waits for.
    LateAnswerComes(Answer),
    /// The watchdog says the claim's current event again.
    WatchdogAsks,
    /// The gateway tells payments of a return.
    ReturnIsTold,
    /// The operator asks anew after a restore of payments, as is a must.
    Reannounced,
    /// The operator asks anew without need.
    AskedWithoutNeed,
    /// The sender withdraws the claim.
    Voided,
    /// The bank returns the payment.
    BankReturns,
    /// Kafka forgets the first or the second topic, or both.
    Wiped(bool, bool),
    /// A copy of payments' database is made.
    PaymentsCopied,
    /// A copy of claim_process's database is made.
    ClaimCopied,
    /// payments' database is put back to a copy.
    PaymentsRestored,
    /// payments' database is lost and made anew.
    PaymentsLost,
    /// claim_process's database is put back to its copy; its journal brings back all but outcomes.
    ClaimRestored,
}

/// A world that can come next.
#[derive(Debug)]
pub struct Next {
    /// What happened.
    pub happening: Happening,
    /// Whether it happens without anybody's doing and without a fault: such steps alone must lead to rest.
    pub is_free: bool,
    /// The world after it, or what must never be.
    pub world: Result<World, String>,
}

struct Collector<'a> {
    from: &'a World,
    params: &'a Params,
    tables: &'a mut Tables,
    next: Vec<Next>,
}

/// Every world that can come after `from`.
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
    fn add(&mut self, happening: Happening, is_free: bool, world: Result<World, String>) {
        self.next.push(Next { happening, is_free, world });
    }

    fn comes(&mut self, happening: Happening, is_free: bool, world: &World, incoming: Incoming) {
        match world.comes_to_payments(incoming, self.params, self.tables) {
            Ok(worlds) => worlds.into_iter().for_each(|world| self.add(happening, is_free, Ok(world))),
            Err(what) => self.add(happening, is_free, Err(what)),
        }
    }

    fn messages(&mut self) {
        let from = *self.from;
        for number in self.tables.claims_topic.numbers(from.claims_topic) {
            let message = *self.tables.claims_topic.messages.value(number);
            let is_record = matches!(message, crate::messages::ClaimMessage::Recorded { .. });
            if !(is_record && from.payments.saga == 0) {
                self.comes(Happening::PaymentsReads(number), true, &from, Incoming::Message(message));
                if self.params.late_messages {
                    self.comes(Happening::PaymentsReadsLate(number), false, &from, Incoming::LateMessage(message));
                }
            }
        }
        for number in self.tables.payments_topic.numbers(from.payments_topic) {
            let message = *self.tables.payments_topic.messages.value(number);
            let mut world = from;
            let read = world.outcome_arrives(message, self.params, self.tables);
            self.add(Happening::ClaimProcessReads(number), true, read.map(|()| world).map_err(str::to_owned));
        }
    }

    fn gateway(&mut self) {
        let from = *self.from;
        match from.call {
            Some(Call::Asked(request)) => {
                self.serve(Happening::CallIsServed, request, |world, answer| world.call = Some(Call::Answered(answer)));
                let mut world = from;
                world.abandon_call(self.params);
                self.comes(Happening::CallTimesOut, false, &world, Incoming::Answer(Answer::Unknown(request)));
            }
            Some(Call::Answered(answer)) => {
                let world = World { call: None, ..from };
                self.comes(Happening::AnswerIsWritten, true, &world, Incoming::Answer(answer));
            }
            None => {}
        }
        if from.call.is_some() {
            let mut world = from;
            world.abandon_call(self.params);
            self.add(Happening::PaymentsCrashes, false, Ok(world));
        }
        if from.strays.pay {
            self.serve(Happening::StrayArrives(Request::Pay), Request::Pay, |world, _| world.strays.pay = false);
        }
        if from.strays.refund {
            let request = Request::Refund;
            self.serve(Happening::StrayArrives(request), request, |world, _| world.strays.refund = false);
        }
        if let Some(answer) = from.strays.answer {
            let mut world = from;
            world.strays.answer = None;
            if from.payments.saga == 0 {
                self.add(Happening::StaleAnswerIsWritten, true, Ok(world));
            } else {
                self.comes(Happening::StaleAnswerIsWritten, true, &world, Incoming::Answer(answer));
            }
        }
        if from.webhook {
            self.tell_return();
        }
        self.late_answers();
    }

    /// Of whatever the gateway said, some call may hear only now, as often as it likes.
    fn late_answers(&mut self) {
        let from = *self.from;
        for answer in from.book.said() {
            let Some(saga) = self.tables.memory.sagas.get(from.payments.saga) else { return };
            let happening = Happening::LateAnswerComes(answer);
            match heard_late(saga, answer, from.marker(), self.params) {
                Ok(true) => self.comes(happening, false, &from, Incoming::Answer(answer)),
                Ok(false) => {}
                Err(what) => self.add(happening, false, Err(what.to_owned())),
            }
        }
    }

    fn serve(&mut self, happening: Happening, request: Request, then: impl Fn(&mut World, Answer)) {
        let from = *self.from;
        match from.book.serve(request, self.params.verdicts) {
            Ok(served) => {
                for (book, answer) in served {
                    let mut world = World { book, ..from };
                    then(&mut world, answer);
                    self.add(happening, true, Ok(world));
                }
            }
            Err(what) => self.add(happening, true, Err(what.to_owned())),
        }
    }

    /// A return that cannot be placed is not acknowledged, so the gateway tells of it again: while there is no saga, and
    /// while the saga's facts may be older than the world.
    fn tell_return(&mut self) {
        let (from, Book::Returned { other }) = (*self.from, self.from.book) else { return };
        let Some(saga) = self.tables.memory.sagas.get(from.payments.saga) else { return };
        let saga = saga.clone().under(from.marker());
        let told = World { webhook: false, ..from };
        if saga.trust != Trust::Sure {
            return;
        }
        if self.params.lacks(Mutant::EarlyReturnIgnored) && saga.disbursement == Disbursement::Intended {
            return self.add(Happening::ReturnIsTold, true, Ok(told));
        }
        self.comes(Happening::ReturnIsTold, true, &told, Incoming::Returned { other });
    }

    fn background(&mut self) {
        let from = *self.from;
        if from.may_resume(self.params, self.tables) {
            self.comes(Happening::SagaIsTakenUp, true, &from, Incoming::Resume);
        }
        if from.claim.due && !self.params.lacks(Mutant::NobodyAsksAgain) {
            let mut world = from;
            world.say_current(self.tables);
            self.add(Happening::WatchdogAsks, true, Ok(world));
        }
        let is_unsolicited = from.restored && from.claim.resync_epoch <= from.marker_s;
        if is_unsolicited && !self.params.lacks(Mutant::NotReannounced) {
            let mut world = from;
            world.ask_anew();
            self.add(Happening::Reannounced, true, Ok(world));
        }
    }

    fn people(&mut self) {
        let from = *self.from;
        if from.left.extra_resyncs > 0 {
            let mut world = from;
            world.left.extra_resyncs -= 1;
            world.ask_anew();
            self.add(Happening::AskedWithoutNeed, false, Ok(world));
        }
        if from.left.voids > 0 {
            let mut world = from;
            world.left.voids -= 1;
            if world.void(self.tables) {
                self.add(Happening::Voided, false, Ok(world));
            }
        }
        if let (1.., Book::Paid { other }) = (from.left.returns, from.book) {
            let mut world = World { book: Book::Returned { other }, webhook: true, ..from };
            world.left.returns -= 1;
            self.add(Happening::BankReturns, false, Ok(world));
        }
    }

    fn disasters(&mut self) {
        let from = *self.from;
        if from.left.wipes > 0 {
            for (claims, payments) in [(true, true), (true, false), (false, true)] {
                let mut world = from;
                world.left.wipes -= 1;
                world.claims_topic = if claims { 0 } else { world.claims_topic };
                world.payments_topic = if payments { 0 } else { world.payments_topic };
                let forgets = world.claims_topic != from.claims_topic || world.payments_topic != from.payments_topic;
                if forgets {
                    self.add(Happening::Wiped(claims, payments), false, Ok(world));
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
                self.add(Happening::PaymentsCopied, false, Ok(world));
            }
            for (slot, snapshot) in copies.into_iter().enumerate().filter_map(|(slot, copy)| Some((slot, copy?))) {
                let mut world = self.restored(snapshot.copy);
                world.payments_copies[slot] = Some(Snapshot { was_used: true, ..snapshot });
                self.add(Happening::PaymentsRestored, false, Ok(world));
            }
            let world = self.restored(Payments::default());
            self.add(Happening::PaymentsLost, false, Ok(world));
        }
        if from.left.claim_restores > 0 {
            let may_copy = from.claim_copy.is_none_or(|snapshot| snapshot.was_used);
            if may_copy {
                let copy = Snapshot { copy: from.claim, was_used: false };
                self.add(Happening::ClaimCopied, false, Ok(World { claim_copy: Some(copy), ..from }));
            }
            if let Some(snapshot) = from.claim_copy {
                let mut world = World { claim_copy: Some(Snapshot { was_used: true, ..snapshot }), ..from };
                world.left.claim_restores -= 1;
                let restored = world.restore_claim(snapshot.copy);
                self.add(Happening::ClaimRestored, false, restored.map(|()| world).map_err(str::to_owned));
            }
        }
    }

    /// payments is stopped, its database is put back to `copy`, and the marker is set.
    fn restored(&mut self, copy: Payments) -> World {
        let mut world = *self.from;
        world.abandon_call(self.params);
        world.left.payments_restores -= 1;
        world.payments = copy;
        if self.params.lacks(Mutant::RestoreUnmarked) {
            return world;
        }
        world.marker_s = world.later();
        if self.params.lacks(Mutant::MarkNotLater) {
            // Later than the claim was submitted and than the marker before, and no later than the claim's resync epoch.
            let earliest = (self.from.marker_s + 1).max(SUBMITTED_AT_S + 1);
            world.marker_s = world.claim.resync_epoch.saturating_sub(1).max(earliest);
        }
        world.restored = !self.params.lacks(Mutant::ActsBeforeAsked);
        let marker: RestoreMarker = world.marker();
        if let Some(saga) = self.tables.memory.sagas.get(copy.saga) {
            // The saga is read as it is to be taken under the marker each time; that it is so at once saves states.
            let saga = saga.clone().under(marker);
            world.payments.saga = self.tables.memory.sagas.number(&saga);
        }
        world
    }
}

impl Happening {
    /// In words, with the message it is about.
    pub fn describe(self, tables: &Tables) -> String {
        match self {
            Happening::PaymentsReads(number) => {
                format!("payments reads {:?}", tables.claims_topic.messages.value(number))
            }
            Happening::ClaimProcessReads(number) => {
                format!("claim_process reads {:?}", tables.payments_topic.messages.value(number))
            }
            other => format!("{other:?}"),
        }
    }
}
