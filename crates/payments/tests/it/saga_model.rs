//! The reducer against a model world: a gateway that honours keys, a ledger, requests that are lost, repeated or arrive
//! late, and a worker that may stop between any two writes. Whatever happens, the saga ends settled or unwound, undoes
//! exactly what stands, and its cash is the gateway's.

use claim_events::{Cause, Compensation, KnownOutcome, OutcomeKind, PaymentEvent, Step};
use payments::domain::ledger::{Account, Kind, Transfer, Weight};
use payments::domain::restore_marker::RestoreMarker;
use payments::domain::saga::{
    Call, ClaimUpdate, Disbursement, Effect, FailurePlacement, Input, LookUpAnswer, PayAnswer, RefundAnswer,
    Reservation, Saga, State, advance, begin,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What the gateway does with a request to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Approve,
    Decline,
    /// It pays this much more than was requested.
    Overpay(i64),
}

/// A gateway that keeps its promises: one definite answer a key, money back at most once.
#[derive(Debug)]
struct Gateway {
    fate: Fate,
    payments: BTreeMap<String, i64>,
    declined: Vec<String>,
    /// Refunds that stand.
    refunds: BTreeMap<String, i64>,
    /// The keys of those that failed later.
    failed_refunds: Vec<String>,
    returned: bool,
}

impl Gateway {
    fn new(fate: Fate) -> Self {
        Self {
            fate,
            payments: BTreeMap::new(),
            declined: Vec::new(),
            refunds: BTreeMap::new(),
            failed_refunds: Vec::new(),
            returned: false,
        }
    }

    fn take(&mut self, call: &Call) -> Input {
        match call {
            Call::Pay { key, amount_cents, .. } => {
                if let Some(paid) = self.payments.get(key) {
                    return Input::PayAnswer(PayAnswer::Approved { amount_cents: *paid });
                }
                let paid = match self.fate {
                    Fate::Decline => {
                        self.declined.push(key.clone());
                        return Input::PayAnswer(PayAnswer::Declined { code: "insufficient_funds".into() });
                    }
                    Fate::Approve => *amount_cents,
                    Fate::Overpay(more) => amount_cents + more,
                };
                self.payments.insert(key.clone(), paid);
                Input::PayAnswer(PayAnswer::Approved { amount_cents: paid })
            }
            Call::LookUp { key, .. } => {
                let answer = match self.payments.get(key) {
                    Some(paid) if self.returned => LookUpAnswer::Returned { amount_cents: *paid },
                    Some(paid) if !self.refunds.is_empty() => LookUpAnswer::Refunded { amount_cents: *paid },
                    Some(paid) => LookUpAnswer::Paid { amount_cents: *paid },
                    None if self.declined.contains(key) => LookUpAnswer::Declined { code: "insufficient_funds".into() },
                    None => LookUpAnswer::NotFound,
                };
                Input::LookedUp { answer, key_expired: false }
            }
            Call::Refund { key, amount_cents, .. } => {
                if self.returned {
                    return Input::RefundAnswer(RefundAnswer::AlreadyReturned);
                }
                if self.failed_refunds.contains(key) {
                    return Input::RefundAnswer(RefundAnswer::Failed);
                }
                if self.refunds.is_empty() {
                    self.refunds.insert(key.clone(), *amount_cents);
                }
                Input::RefundAnswer(RefundAnswer::Refunded)
            }
        }
    }

    fn out(&self) -> i64 {
        self.payments.values().sum()
    }

    fn back(&self) -> i64 {
        if self.returned { self.out() } else { self.refunds.values().sum() }
    }
}

/// The world around one saga. The saga and the ledger are what was written; everything else can be lost.
struct World {
    amount_cents: i64,
    budget_covers: bool,
    saga: Option<Saga>,
    revision: u64,
    ledger: BTreeMap<String, Transfer>,
    announced: Vec<PaymentEvent>,
    gateway: Gateway,
    /// Calls of the running worker, with the revision they were made under.
    calls: Vec<(u64, Call)>,
    /// Requests of stopped workers and lost connections, which may still arrive.
    strays: Vec<Call>,
    /// Answers that were not written yet.
    answers: Vec<(u64, Input)>,
    voided: bool,
}

impl World {
    fn new(amount_cents: i64, budget_covers: bool, fate: Fate) -> Self {
        Self {
            amount_cents,
            budget_covers,
            saga: None,
            revision: 0,
            ledger: BTreeMap::new(),
            announced: Vec::new(),
            gateway: Gateway::new(fate),
            calls: Vec::new(),
            strays: Vec::new(),
            answers: Vec::new(),
            voided: false,
        }
    }

    fn update(&self, version: i64) -> ClaimUpdate {
        ClaimUpdate {
            claim_id: "claim".into(),
            plan_group: "plan".into(),
            provider_npi: "1497775530".into(),
            amount_cents: self.amount_cents,
            submitted_at_us: 0,
            version,
            resync_epoch: 0,
            known: None,
            too_late: false,
        }
    }

    fn receive(&mut self, version: i64) {
        self.voided |= version == 2;
        let update = self.update(version);
        let result = match self.saga.clone() {
            None => begin(&update, RestoreMarker::default()),
            Some(saga) => advance(saga, Input::Claim(update)),
        };
        self.write(result);
    }

    fn input(&mut self, input: Input) {
        if let Some(saga) = self.saga.clone() {
            self.write(advance(saga, input));
        }
    }

    /// One write: the saga, its bookings and its announcements together; then its calls are the worker's to make.
    fn write(&mut self, (mut saga, mut effects): (Saga, Vec<Effect>)) {
        let mut calls = Vec::new();
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Reserve(transfer) => {
                        let covered = self.budget_covers;
                        if covered {
                            self.book(transfer);
                        }
                        let (next, more) = advance(saga, Input::Reserved { covered });
                        saga = next;
                        effects.extend(more);
                    }
                    Effect::Book(transfer) | Effect::ReserveAnyway(transfer) => self.book(transfer),
                    Effect::Publish(event) => self.announced.push(event),
                    Effect::Call(call) => calls.push(call),
                    Effect::RetryLater { .. } | Effect::Alarm(_) | Effect::Stuck(_) => {}
                }
            }
        }
        self.revision += 1;
        self.calls.extend(calls.into_iter().map(|call| (self.revision, call)));
        self.saga = Some(saga);
    }

    /// What the database's unique keys refuse must never be tried.
    fn book(&mut self, transfer: Transfer) {
        assert!(transfer.amount_cents > 0, "{transfer:?}");
        for booked in self.ledger.values() {
            assert!(
                transfer.ends_pending.is_none() || booked.ends_pending != transfer.ends_pending,
                "ended twice: {transfer:?}"
            );
            assert!(transfer.reverses.is_none() || booked.reverses != transfer.reverses, "undone twice: {transfer:?}");
        }
        for named in [&transfer.ends_pending, &transfer.reverses].into_iter().flatten() {
            let named = self.ledger.get(named).expect("a transfer undoes one that is booked");
            assert_eq!(named.amount_cents, transfer.amount_cents, "{transfer:?} undoes {named:?}");
        }
        assert!(self.ledger.insert(transfer.id.clone(), transfer).is_none(), "booked twice");
    }

    /// The worker's call reaches the gateway, and its answer the worker.
    fn call_arrives(&mut self, index: usize) {
        if self.calls.is_empty() {
            return;
        }
        let (revision, call) = self.calls.remove(index % self.calls.len());
        let answer = self.gateway.take(&call);
        self.answers.push((revision, answer));
    }

    /// The worker hears nothing: the request may still be on its way, or the payment was made and the answer was lost.
    fn call_times_out(&mut self, index: usize, was_made: bool) {
        if self.calls.is_empty() {
            return;
        }
        let (revision, call) = self.calls.remove(index % self.calls.len());
        let unknown = match call {
            Call::Pay { .. } => Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: None }),
            Call::LookUp { .. } => {
                Input::LookedUp { answer: LookUpAnswer::Unknown { retry_after_ms: None }, key_expired: false }
            }
            Call::Refund { .. } => Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None }),
        };
        if was_made {
            self.gateway.take(&call);
        } else {
            self.strays.push(call);
        }
        self.answers.push((revision, unknown));
    }

    /// An answer is written, unless the saga was written since the call was made and the answer may be true no more.
    fn answer_written(&mut self, index: usize) {
        if self.answers.is_empty() {
            return;
        }
        let (revision, answer) = self.answers.remove(index % self.answers.len());
        if revision == self.revision || self.saga().accepts_late(&answer) {
            self.input(answer);
        }
    }

    /// The worker stops: its requests may or may not be on their way, its answers are lost.
    fn crash(&mut self) {
        self.strays.extend(self.calls.drain(..).map(|(_, call)| call));
        self.answers.clear();
    }

    /// The payee's bank sends the money back, and the gateway says so.
    fn returned_by_bank(&mut self) {
        if self.gateway.payments.is_empty() || !self.gateway.refunds.is_empty() {
            return;
        }
        self.gateway.returned = true;
        self.input(Input::Returned { amount_cents: self.gateway.out() });
    }

    /// A refund that the gateway approved fails, and the gateway reports it.
    fn refund_fails(&mut self) {
        let Some((key, amount_cents)) = self.gateway.refunds.pop_first() else { return };
        self.gateway.failed_refunds.push(key.clone());
        let booked = self.ledger.get(&self.saga().refund_transfer_id()).map(|transfer| transfer.amount_cents);
        let placed = self.saga().place_refund_failure(&key, amount_cents, booked);
        assert_eq!(placed, FailurePlacement::Failed, "{:?}", self.saga());
        self.input(Input::RefundFailed { amount_cents });
    }

    fn stray_arrives(&mut self, index: usize) {
        if !self.strays.is_empty() {
            let call = self.strays.remove(index % self.strays.len());
            self.gateway.take(&call);
        }
    }

    /// A worker that is not disturbed any more brings the saga to its end.
    fn finish(&mut self) {
        for _ in 0..20 {
            if self.saga.as_ref().is_none_or(Saga::is_at_rest) {
                break;
            }
            self.crash();
            if matches!(self.saga().disbursement, Disbursement::RefundFailed { .. }) {
                self.input(Input::Retried { is_stuck: true });
            } else {
                self.input(Input::Resume);
            }
            if let (true, Some(outcome)) = (self.saga().waits_for_record(), self.saga().outcome) {
                let known = KnownOutcome { kind: outcome.kind, version: outcome.version };
                self.input(Input::Recorded { known, resync_epoch: self.saga().resync_epoch });
            }
            while !self.calls.is_empty() {
                self.call_arrives(0);
                self.answer_written(0);
            }
        }
        while !self.strays.is_empty() {
            self.stray_arrives(0);
        }
    }

    fn saga(&self) -> &Saga {
        self.saga.as_ref().expect("the saga began")
    }

    /// Credits less debits of what counts.
    fn balance(&self, account: &Account) -> i64 {
        self.ledger
            .values()
            .filter(|transfer| transfer.weight == Weight::Posted)
            .map(|transfer| {
                i64::from(transfer.credit == *account) * transfer.amount_cents
                    - i64::from(transfer.debit == *account) * transfer.amount_cents
            })
            .sum()
    }

    fn has(&self, kind: Kind) -> bool {
        self.booked(kind) > 0
    }

    fn booked(&self, kind: Kind) -> usize {
        self.ledger.values().filter(|transfer| transfer.kind == kind).count()
    }

    fn check(&self) {
        let saga = self.saga();
        assert!(saga.is_at_rest(), "{saga:?}");
        assert!(self.gateway.payments.len() <= 1, "paid twice");
        let net = self.gateway.out() - self.gateway.back();
        assert_eq!(self.balance(&Account::Cash), net, "cash is the gateway's own book: {:?}", self.ledger);
        assert!(self.balance(&Account::ProviderPayable("1497775530".into())) == 0, "nothing stays owed");
        let pending_ended = !self.has(Kind::Reserve) || self.has(Kind::Post) || self.has(Kind::Release);
        assert!(pending_ended, "a reservation stays pending");

        let kind = saga.outcome.expect("an end").kind;
        if kind == OutcomeKind::Settled {
            assert_eq!(net, self.amount_cents.max(0), "settled is paid");
            assert_eq!(saga.compensations, []);
        } else {
            assert_eq!(net, 0, "unwound is not paid, or paid back");
            assert_eq!(self.balance(&Account::PlanBudget("plan".into())), 0);
        }
        assert!(!self.voided || kind == OutcomeKind::Unwound, "an accepted void ends unwound");
        let undone = [(Compensation::Release, Kind::Release), (Compensation::Reverse, Kind::Reverse)];
        for (compensation, transfer) in undone {
            assert_eq!(saga.compensations.contains(&compensation), self.has(transfer), "{compensation:?} in {saga:?}");
        }
        let refunds = self.booked(Kind::Refund) - self.booked(Kind::RefundFailed);
        let compensations = saga.compensations.iter().filter(|done| **done == Compensation::Refund).count();
        assert_eq!((compensations, refunds <= 1), (refunds, true), "{saga:?}");
        let first_unwound = self.announced.iter().position(|event| event.kind() == OutcomeKind::Unwound);
        if let Some(first) = first_unwound {
            assert!(
                self.announced[first..].iter().all(|event| event.kind() == OutcomeKind::Unwound),
                "unwound is absorbing"
            );
        }
        assert_eq!(self.announced.last().map(PaymentEvent::kind), Some(kind));
    }
}

/// Something that happens to the world.
#[derive(Debug, Clone)]
enum Happening {
    Submitted,
    Voided,
    CallArrives(usize),
    CallTimesOut(usize, bool),
    AnswerWritten(usize),
    AnswerRepeated(usize),
    Crash,
    StrayArrives(usize),
    Resume,
    ReturnedByBank,
    RefundFails,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::Submitted),
        1 => Just(Happening::Voided),
        6 => any::<usize>().prop_map(Happening::CallArrives),
        3 => any::<(usize, bool)>().prop_map(|(index, made)| Happening::CallTimesOut(index, made)),
        6 => any::<usize>().prop_map(Happening::AnswerWritten),
        1 => any::<usize>().prop_map(Happening::AnswerRepeated),
        2 => Just(Happening::Crash),
        2 => any::<usize>().prop_map(Happening::StrayArrives),
        3 => Just(Happening::Resume),
        1 => Just(Happening::ReturnedByBank),
        2 => Just(Happening::RefundFails),
    ]
}

fn happen(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Submitted => world.receive(1),
        Happening::Voided => world.receive(2),
        Happening::CallArrives(index) => world.call_arrives(*index),
        Happening::CallTimesOut(index, was_made) => world.call_times_out(*index, *was_made),
        Happening::AnswerWritten(index) => world.answer_written(*index),
        Happening::AnswerRepeated(index) => {
            if let Some(answer) = world.answers.get(index % world.answers.len().max(1)).cloned() {
                world.answers.push(answer);
            }
        }
        Happening::Crash => world.crash(),
        Happening::StrayArrives(index) => world.stray_arrives(*index),
        Happening::Resume => world.input(Input::Resume),
        Happening::ReturnedByBank => world.returned_by_bank(),
        Happening::RefundFails => world.refund_fails(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(test_support::effort(500, 4_000)))]

    #[test]
    fn whatever_happens_the_saga_ends_and_the_books_agree(
        amount_cents in prop_oneof![Just(0_i64), Just(-1_250), 1..1_000_000_i64],
        budget_covers in prop::bool::weighted(0.9),
        fate in prop_oneof![3 => Just(Fate::Approve), 1 => Just(Fate::Decline), 1 => (1..500_i64).prop_map(Fate::Overpay)],
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let mut world = World::new(amount_cents, budget_covers, fate);
        for happening in &happenings {
            happen(&mut world, happening);
        }
        if world.saga.is_none() {
            world.receive(1);
        }
        world.finish();
        world.check();
    }
}

fn run(amount_cents: i64, budget_covers: bool, fate: Fate) -> World {
    let mut world = World::new(amount_cents, budget_covers, fate);
    world.receive(1);
    world.finish();
    world.check();
    world
}

#[test]
fn each_way_to_fail_undoes_what_stands_in_reverse_order() {
    use Compensation::{Refund, Release, Reverse};
    assert_eq!(run(100, true, Fate::Approve).saga().state(), State::Settled);
    let refused = run(100, false, Fate::Approve);
    assert_eq!((refused.saga().compensations.as_slice(), refused.gateway.out()), (&[][..], 0));
    assert_eq!(run(131, true, Fate::Decline).saga().compensations, [Release]);
    assert_eq!(run(147, true, Fate::Overpay(100)).saga().compensations, [Refund, Release]);
    let mut voided = run(100, true, Fate::Approve);
    voided.receive(2);
    voided.finish();
    voided.check();
    assert_eq!(voided.saga().compensations, [Reverse, Refund]);
    assert_eq!(voided.saga().outcome.map(|outcome| outcome.version), Some(2));
}

#[test]
fn a_decline_names_the_step_the_cause_and_the_gateways_code() {
    let world = run(131, true, Fate::Decline);
    let Some(PaymentEvent::Unwound(unwound)) = world.announced.last() else { panic!("unwound") };
    assert_eq!((unwound.cause, unwound.failed_step), (Cause::StepFailed, Some(Step::Disburse)));
    assert_eq!(unwound.reason_code.as_deref(), Some("insufficient_funds"));
}

#[test]
fn nothing_due_settles_and_a_debt_is_booked_without_the_gateway() {
    let nothing = run(0, true, Fate::Approve);
    assert_eq!((nothing.saga().state(), nothing.ledger.len()), (State::Settled, 0));
    let mut debt = run(-1_250, true, Fate::Approve);
    assert_eq!((debt.saga().state(), debt.gateway.out()), (State::Settled, 0));
    assert_eq!(debt.balance(&Account::Receivable("1497775530".into())), -1_250);
    debt.receive(2);
    debt.check();
    assert_eq!(debt.saga().compensations, [Compensation::Reverse]);
    assert_eq!(debt.balance(&Account::Receivable("1497775530".into())), 0);
}

/// The zombie of the money rule: a worker stores its intent and stops before its request is out. The claim is voided, and
/// the payment cannot be found at the gateway. Unwinding on that look-up would lose the money of the request
/// that the stopped worker still sends.
#[test]
fn a_stopped_sender_that_pays_after_a_look_up_found_nothing_loses_no_money() {
    let mut world = World::new(100, true, Fate::Approve);
    world.receive(1);
    assert_eq!(world.saga().disbursement, Disbursement::Intended);
    world.crash();
    assert_eq!(world.gateway.out(), 0, "a look-up finds nothing");

    world.receive(2);
    assert_eq!(world.saga().state(), State::Unwinding, "the void alone ends nothing");
    assert_eq!(world.saga().reservation, Reservation::Pending);
    world.stray_arrives(0);
    assert_eq!(world.gateway.out(), 100, "the stopped sender paid");

    world.finish();
    world.check();
    assert_eq!(world.saga().compensations, [Compensation::Refund, Compensation::Release]);
}

#[test]
fn a_void_that_overtakes_its_submission_is_enough_by_itself() {
    let mut world = World::new(100, true, Fate::Approve);
    world.receive(2);
    world.receive(1);
    world.finish();
    world.check();
    assert_eq!((world.saga().state(), world.ledger.len(), world.gateway.out()), (State::Unwound, 0, 0));
}

#[test]
fn a_repeated_event_is_answered_with_the_outcome_and_met_with_silence_before_there_is_one() {
    let mut world = World::new(100, true, Fate::Approve);
    world.receive(1);
    world.receive(1);
    assert_eq!(world.announced.len(), 0);
    world.finish();
    world.receive(1);
    assert_eq!(world.announced.len(), 2);
    assert_eq!(world.announced[0], world.announced[1]);
}

#[test]
fn an_ask_is_echoed_and_an_older_one_is_ignored() {
    let mut world = run(100, true, Fate::Approve);
    let asked = ClaimUpdate { resync_epoch: 1_795_512_600, ..world.update(1) };
    world.input(Input::Claim(asked));
    assert_eq!(world.announced.last().map(PaymentEvent::resync_epoch), Some(1_795_512_600));
    world.receive(1);
    assert_eq!(world.announced.len(), 2, "a resync epoch below the highest seen is not answered");
}

/// The world with its facts restored to `saga`, reannounced and brought to its end.
fn restored_to(mut world: World, saga: Saga, known: Option<KnownOutcome>) -> World {
    world.crash();
    // It echoes an older resync epoch, so claim_process ignores it from now on.
    world.announced.clear();
    world.saga = Some(saga.under(RestoreMarker { at_us: 1_000_000, restored: true }));
    let update = ClaimUpdate { resync_epoch: 2, known, ..world.update(1) };
    world.input(Input::Claim(update));
    world.finish();
    world
}

fn end_of(world: &World) -> Option<(OutcomeKind, i64)> {
    world.saga().outcome.map(|outcome| (outcome.kind, outcome.version))
}

/// The copy may be from before the database was lost and created again, and the new one may have had an intent whose request is
/// still on its way. The payment goes forward, because a refund for a reason that is known nowhere else would still be on its
/// way when these facts are lost once more.
#[test]
fn an_own_end_that_claim_process_does_not_know_proves_nothing_and_goes_forward() {
    let world = run(100, false, Fate::Approve);
    assert_eq!(end_of(&world), Some((OutcomeKind::Unwound, 1)));
    let copy = world.saga().clone();
    let world = restored_to(world, copy, None);
    world.check();
    assert_eq!((end_of(&world), world.gateway.out()), (Some((OutcomeKind::Settled, 2)), 100));
}

#[test]
fn an_own_end_without_a_payment_does_not_stand_against_a_payment_that_is_found() {
    let mut world = run(100, false, Fate::Approve);
    world.gateway.payments.insert("claim.disburse".into(), 100);
    let copy = world.saga().clone();
    let world = restored_to(world, copy, None);
    world.check();
    assert_eq!(end_of(&world), Some((OutcomeKind::Settled, 2)));
}

/// claim_process had the unwinding once, and was restored as well.
#[test]
fn what_claim_process_knew_before_the_last_ask_does_not_count() {
    let mut world = run(100, false, Fate::Approve);
    let known = KnownOutcome { kind: OutcomeKind::Unwound, version: 1 };
    world.input(Input::Claim(ClaimUpdate { known: Some(known), ..world.update(1) }));
    let copy = world.saga().clone();
    assert!(copy.known_unwound);
    let world = restored_to(world, copy, None);
    world.check();
    assert_eq!(end_of(&world), Some((OutcomeKind::Settled, 2)));
}

/// The same version must not tell two ends, and what was lost may have told this one otherwise.
#[test]
fn an_unwinding_of_restored_facts_is_published_above_the_known_one() {
    let world = run(131, true, Fate::Decline);
    let copy = world.saga().clone();
    let world = restored_to(world, copy, Some(KnownOutcome { kind: OutcomeKind::Unwound, version: 1 }));
    world.check();
    assert_eq!((end_of(&world), world.announced.len()), (Some((OutcomeKind::Unwound, 2)), 1));
}

/// As above, and there was nothing yet but what claim_process knew: that is no reason to unwind any more either.
#[test]
fn an_unwinding_for_what_claim_process_has_forgotten_is_not_gone_on_with() {
    let mut world = World::new(100, true, Fate::Approve);
    let known = KnownOutcome { kind: OutcomeKind::Unwound, version: 1 };
    let update = ClaimUpdate { resync_epoch: 2, known: Some(known), submitted_at_us: 0, ..world.update(1) };
    world.write(begin(&update, RestoreMarker { at_us: 1_000_000, restored: true }));
    let copy = world.saga().clone();
    assert!(copy.known_unwound && copy.unwinding.is_some() && copy.outcome.is_none());
    world.crash();
    world.saga = Some(copy.under(RestoreMarker { at_us: 3_000_000, restored: true }));
    world.input(Input::Claim(ClaimUpdate { resync_epoch: 4, ..world.update(1) }));
    world.finish();
    world.check();
    assert_eq!(end_of(&world), Some((OutcomeKind::Settled, 2)));
}
