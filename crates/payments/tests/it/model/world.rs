//! Two instances of payments on one database, a gateway and claim_process, in virtual time. Whatever can happen is on an
//! agenda; chance, which the seed gives, decides when and to whom.

use super::claim_side::ClaimSide;
use super::gateway::{Fate, Fault, Gateway, unknown};
use crate::harness::{Instance, settings};
use claim_events::{Envelope, Event, OutcomeKind, PaymentEvent};
use dual_db::Database;
use fastrand::Rng;
use payments::domain::ledger::{Kind, Weight};
use payments::domain::saga::{Answer, Forced, PlannedCall};
use payments::executor::Received;
use payments::executor::clock::Clock;
use payments::executor::operator::{Action, ActionOutcome, Actor};
use payments::gateway::Report;
use payments::settings::{BudgetSettings, Settings};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const MS: i64 = 1_000;
const SECOND: i64 = 1_000 * MS;
const CALL_TIMEOUT: i64 = 5 * SECOND;
/// How long the world is troubled; then every instance works undisturbed.
const TROUBLED: i64 = 900 * SECOND;
/// The end of all: nothing may go on for longer.
const END: i64 = 4 * 3_600 * SECOND;

/// Instances, and the world they share from seed to seed.
pub struct Stage {
    pub instances: [Instance; 2],
    clock: Arc<AtomicI64>,
    begins_us: i64,
}

impl Stage {
    pub fn new(database: &Database) -> Self {
        let clock = Arc::new(AtomicI64::new(0));
        let mut instances = ["one", "two"].map(|name| Instance::with_settings(database, name, model_settings()));
        for instance in &mut instances {
            instance.executor = instance.executor.clone().by(Clock::Virtual(Arc::clone(&clock)));
        }
        let made_us = database.read(dual_db::Connection::now_us).expect("reads");
        Self { instances, clock, begins_us: made_us + 3_600 * SECOND }
    }

    fn database(&self) -> &Database {
        &self.instances[0].database
    }
}

/// The pauses and leases as they are set by default, so that time is not spared.
fn model_settings() -> Settings {
    let defaults = Settings::default();
    let mut settings = Settings { saga: defaults.saga, ..settings() };
    settings.saga.stuck_after_attempts = 5;
    settings.saga.deadline_ms = 3_600_000;
    settings.kafka.outbox.sweep_interval_ms = 3_600_000;
    settings.budgets.push(BudgetSettings { plan_prefix: "LEAN-".into(), limit_cents: 60_000 });
    settings
}

#[derive(Debug, Clone)]
enum Happening {
    /// A message reaches an instance.
    Message(Received),
    /// claim_process re-requests the outcome of a claim that is due, or an operator reannounces it.
    Requests {
        claim_id: String,
        reannounced: bool,
    },
    Withdrawn {
        claim_id: String,
    },
    RequestArrives {
        call: PlannedCall,
        instance: usize,
        epoch: u32,
        fault: Fault,
        answer_by: i64,
    },
    Answered {
        answer: Answer,
        instance: usize,
        epoch: u32,
    },
    TakenUp,
    Stops {
        instance: usize,
    },
    BankReturns {
        claim_id: String,
    },
    /// A refund that the gateway approved fails, where there is one.
    RefundFails {
        claim_id: String,
    },
    /// The gateway reports what happened to a payment.
    Reported {
        event_id: String,
        claim_id: String,
        cents: i64,
        report: Report,
    },
    OutcomeHeard {
        event: Box<PaymentEvent>,
        version: i64,
    },
    OperatorRetries {
        claim_id: String,
    },
}

/// The world of one seed.
pub struct World<'a> {
    stage: &'a mut Stage,
    rng: Rng,
    now_us: i64,
    agenda: BinaryHeap<Reverse<(i64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next: u64,
    epochs: [u32; 2],
    gateway: Gateway,
    claims: BTreeMap<String, ClaimSide>,
    troubled_until: i64,
    tells: bool,
    /// For when it is planned to take each claim up.
    planned: BTreeMap<String, Option<i64>>,
}

impl<'a> World<'a> {
    pub fn new(stage: &'a mut Stage, seed: u64, tells: bool) -> Self {
        let now_us = stage.begins_us;
        let rng = Rng::with_seed(seed);
        let mut world = World {
            stage,
            rng,
            now_us,
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next: 0,
            epochs: [0; 2],
            gateway: Gateway::default(),
            claims: BTreeMap::new(),
            troubled_until: now_us + TROUBLED,
            tells,
            planned: BTreeMap::new(),
        };
        for n in 0..world.rng.usize(1..=3) {
            world.submit(&format!("seed{seed:014}{n}"));
        }
        for _ in 0..world.rng.usize(0..=4) {
            let stops = Happening::Stops { instance: world.rng.usize(0..2) };
            world.within(30 * SECOND, stops);
        }
        world
    }

    fn submit(&mut self, claim_id: &str) {
        let amount_cents = match self.rng.u8(0..20) {
            0 => 0,
            1 => -self.rng.i64(1..100_000),
            _ => self.rng.i64(1..100_000),
        };
        let fate = match self.rng.u8(0..20) {
            0..=2 => Fate::Declined,
            3..=4 => Fate::OtherAmount(self.rng.i64(1..500)),
            5 => Fate::SilentOnPay,
            6..=7 => Fate::SilentOnRefund,
            8 => Fate::BrokenOncePaid,
            9 => Fate::Pending(self.rng.u32(0..3)),
            _ => Fate::Approved,
        };
        self.gateway.fates.insert(claim_id.to_owned(), fate);
        let plan_group = if self.rng.u8(0..4) == 0 { format!("LEAN-{claim_id}") } else { "GRP-1000".to_owned() };
        let claim = ClaimSide {
            claim_id: claim_id.to_owned(),
            plan_group,
            amount_cents,
            submitted_at_us: self.now_us,
            version: 1,
            resync_epoch: 0,
            known: None,
            is_due: true,
        };
        // Sometimes the message comes after the claim's deadline of one hour.
        let delay = if self.rng.u8(0..30) == 0 { 2 * 3_600 * SECOND } else { 0 };
        for _ in 0..self.rng.usize(1..=3) {
            let after = delay + self.rng.i64(0..20 * SECOND);
            self.after(after, Happening::Message(claim.event()));
        }
        self.claims.insert(claim_id.to_owned(), claim);
        let claim_id = claim_id.to_owned();
        if self.rng.u8(0..4) == 0 {
            self.within(delay + 60 * SECOND, Happening::Withdrawn { claim_id: claim_id.clone() });
        }
        if self.rng.u8(0..5) == 0 {
            self.within(300 * SECOND, Happening::BankReturns { claim_id: claim_id.clone() });
        }
        if self.rng.u8(0..2) == 0 {
            self.within(300 * SECOND, Happening::RefundFails { claim_id: claim_id.clone() });
        }
        if self.rng.u8(0..6) == 0 {
            self.within(120 * SECOND, Happening::OperatorRetries { claim_id: claim_id.clone() });
        }
        if self.rng.u8(0..8) == 0 {
            self.within(200 * SECOND, Happening::Requests { claim_id: claim_id.clone(), reannounced: true });
        }
        self.after(delay + 60 * SECOND, Happening::Requests { claim_id, reannounced: false });
    }

    fn after(&mut self, delay_us: i64, happening: Happening) {
        self.agenda.push(Reverse((self.now_us + delay_us, self.next)));
        self.happenings.insert(self.next, happening);
        self.next += 1;
    }

    fn within(&mut self, longest_us: i64, happening: Happening) {
        let delay = self.rng.i64(0..longest_us);
        self.after(delay, happening);
    }

    fn is_troubled(&self) -> bool {
        self.now_us < self.troubled_until
    }

    /// Runs until nothing is left to happen. Stuck payments are tried for ever, so it ends when only those are left.
    pub fn run(&mut self) {
        let ends_us = self.stage.begins_us + END;
        while let Some(Reverse((at_us, number))) = self.agenda.pop() {
            assert!(at_us < ends_us, "it does not come to an end: {:?}", self.happenings.get(&number));
            let Some(happening) = self.happenings.remove(&number) else { continue };
            self.now_us = self.now_us.max(at_us);
            self.stage.clock.store(self.now_us, Ordering::SeqCst);
            if self.tells {
                eprintln!("{:>12.3} s  {happening:?}", (self.now_us - self.stage.begins_us) as f64 / 1e6);
            }
            self.happens(happening);
            let only_taking_up = self.happenings.values().all(|left| {
                matches!(
                    left,
                    Happening::TakenUp | Happening::Requests { reannounced: false, .. } | Happening::Stops { .. }
                )
            });
            if only_taking_up && !self.is_troubled() && self.all_are_at_rest_or_stuck() {
                self.agenda.clear();
                self.happenings.clear();
            }
        }
    }

    fn all_are_at_rest_or_stuck(&self) -> bool {
        self.claims.values().all(|claim| {
            let Some(stored) = self.stored(&claim.claim_id) else { return false };
            stored.stuck_reason.is_some()
                || (stored.saga.is_at_rest() && stored.next_attempt_at_us.is_none() && !claim.is_due)
        })
    }

    fn stored(&self, claim_id: &str) -> Option<payments::db::sagas::StoredSaga> {
        self.stage.database().read(|c| payments::db::sagas::find(c, claim_id)).expect("reads")
    }

    fn happens(&mut self, happening: Happening) {
        let instance = self.rng.usize(0..2);
        match happening {
            Happening::Message(received) => {
                let calls = self.stage.instances[instance].executor.apply_events(&[received], &[]).expect("applies");
                self.written(instance, calls);
            }
            Happening::Requests { claim_id, reannounced } => self.requests(claim_id, reannounced),
            Happening::Withdrawn { claim_id } => self.withdrawn(&claim_id),
            Happening::RequestArrives { call, instance, epoch, fault, answer_by } => {
                let answer = self.gateway.serve(&call.call, fault);
                let delay = self.rng.i64(MS..200 * MS);
                if let Some(input) = answer.filter(|_| self.now_us + delay < answer_by) {
                    let answer = Answer { claim_id: call.claim_id, revision: call.revision, input, unclear: None };
                    self.after(delay, Happening::Answered { answer, instance, epoch });
                } else if answer_by >= self.now_us {
                    let input = unknown(&call.call, None);
                    let answer = Answer { claim_id: call.claim_id, revision: call.revision, input, unclear: None };
                    self.after(answer_by - self.now_us, Happening::Answered { answer, instance, epoch });
                }
            }
            Happening::Answered { answer, instance, epoch } => {
                if self.epochs[instance] != epoch {
                    return;
                }
                let repeated = self.rng.u8(0..20) == 0;
                let answers = if repeated { vec![answer.clone(), answer] } else { vec![answer] };
                let calls = self.stage.instances[instance].executor.apply_answers(&answers).expect("writes");
                self.written(instance, calls);
            }
            Happening::TakenUp => {
                let calls = self.stage.instances[instance].executor.resume(100).expect("takes up");
                self.written(instance, calls);
            }
            Happening::Stops { instance } => self.epochs[instance] += 1,
            Happening::BankReturns { claim_id } => {
                if let Some(cents) = self.gateway.bank_returns(&claim_id) {
                    self.bank_reports(&claim_id, cents);
                }
            }
            Happening::RefundFails { claim_id } => {
                if let Some((key, cents)) = self.gateway.refund_fails(&claim_id) {
                    let event_id = format!("{key}.failed");
                    self.reported(event_id, &claim_id, cents, Report::RefundFailed { key });
                }
            }
            Happening::Reported { event_id, claim_id, cents, report } => {
                let executor = &self.stage.instances[instance].executor;
                let (_, calls) = executor.apply_report(&event_id, &claim_id, cents, report).expect("keeps");
                self.written(instance, calls);
            }
            Happening::OutcomeHeard { event, version } => {
                let claim = self.claims.get_mut(event.claim_id()).expect("one of ours");
                if let Some(recorded) = claim.receive(&event, version) {
                    self.within(10 * SECOND, Happening::Message(recorded));
                }
            }
            Happening::OperatorRetries { claim_id } => {
                self.acts(&claim_id, Action::Retry);
            }
        }
    }

    /// The bank's return is reported as one, or in two parts.
    fn bank_reports(&mut self, claim_id: &str, cents: i64) {
        let part = if self.rng.bool() { 0 } else { self.rng.i64(0..cents) };
        for (number, cents) in [(1, part), (2, cents - part)] {
            if cents > 0 {
                self.reported(format!("{claim_id}.return.{number}"), claim_id, cents, Report::PaymentReturned);
            }
        }
    }

    /// The gateway reports something, perhaps twice.
    fn reported(&mut self, event_id: String, claim_id: &str, cents: i64, report: Report) {
        for _ in 0..self.rng.usize(1..=2) {
            let (event_id, claim_id, report) = (event_id.clone(), claim_id.to_owned(), report.clone());
            self.within(20 * SECOND, Happening::Reported { event_id, claim_id, cents, report });
        }
    }

    fn requests(&mut self, claim_id: String, reannounced: bool) {
        let now_s = self.now_us / SECOND;
        let claim = self.claims.get_mut(&claim_id).expect("one of ours");
        if reannounced {
            claim.resync_epoch = now_s.max(claim.resync_epoch + 1);
            claim.is_due = true;
        }
        if claim.is_due {
            let event = claim.event();
            self.within(5 * SECOND, Happening::Message(event));
        }
        if !reannounced {
            self.after(60 * SECOND, Happening::Requests { claim_id, reannounced });
        }
    }

    fn withdrawn(&mut self, claim_id: &str) {
        let claim = self.claims.get_mut(claim_id).expect("one of ours");
        if claim.known.is_some_and(|known| known.kind == OutcomeKind::Unwound) {
            return;
        }
        claim.version = 2;
        claim.is_due = true;
        let (void, submission) = (claim.event(), claim.submission());
        self.within(5 * SECOND, Happening::Message(void.clone()));
        self.within(30 * SECOND, Happening::Message(void));
        self.within(30 * SECOND, Happening::Message(submission));
    }

    /// After a commit: the outcomes it said set out, its calls are made, or the instance stops before.
    fn written(&mut self, instance: usize, calls: Vec<PlannedCall>) {
        self.send_outcomes();
        let claim_ids: Vec<String> = self.claims.keys().cloned().collect();
        for claim_id in claim_ids {
            let next_attempt_at_us = self.stored(&claim_id).and_then(|stored| stored.next_attempt_at_us);
            let planned = self.planned.insert(claim_id, next_attempt_at_us);
            if let Some(next_attempt_at_us) = next_attempt_at_us.filter(|_| planned != Some(next_attempt_at_us)) {
                let spread = self.rng.i64(MS..500 * MS);
                self.after((next_attempt_at_us - self.now_us).max(0) + spread, Happening::TakenUp);
            }
        }
        let stops = self.is_troubled() && self.rng.u8(0..15) == 0;
        // It stopped before or after its requests went out.
        if stops {
            self.epochs[instance] += 1;
            if self.rng.bool() {
                return;
            }
        }
        let epoch = if stops { u32::MAX } else { self.epochs[instance] };
        for call in calls {
            self.make(call, instance, epoch);
        }
    }

    fn make(&mut self, call: PlannedCall, instance: usize, epoch: u32) {
        let answer_by = self.now_us + CALL_TIMEOUT;
        let (fault, delay) = match self.rng.u8(0..100) {
            _ if !self.is_troubled() => (Fault::None, self.rng.i64(MS..100 * MS)),
            0..=9 => (Fault::RequestLost, 10 * MS),
            10..=19 => (Fault::AnswerLost, self.rng.i64(MS..SECOND)),
            20..=24 => (Fault::Refused { retry_after_ms: Some(self.rng.u64(100..10_000)) }, 10 * MS),
            25..=29 => (Fault::Refused { retry_after_ms: None }, 10 * MS),
            // It arrives when no instance waits for it any more.
            30..=36 => (Fault::None, self.rng.i64(CALL_TIMEOUT..120 * SECOND)),
            _ => (Fault::None, self.rng.i64(MS..2 * SECOND)),
        };
        if delay >= CALL_TIMEOUT {
            let input = unknown(&call.call, None);
            let answer = Answer { claim_id: call.claim_id.clone(), revision: call.revision, input, unclear: None };
            self.after(CALL_TIMEOUT, Happening::Answered { answer, instance, epoch });
        }
        let answer_by = if delay >= CALL_TIMEOUT { 0 } else { answer_by };
        self.after(delay, Happening::RequestArrives { call, instance, epoch, fault, answer_by });
    }

    fn send_outcomes(&mut self) {
        for (Envelope { version, .. }, event) in self.stage.instances[0].delivered() {
            // It may be lost, come twice, and come late.
            let times = if self.is_troubled() { self.rng.usize(0..=2) } else { 1 };
            for _ in 0..times {
                self.within(10 * SECOND, Happening::OutcomeHeard { event: Box::new(event.clone()), version });
            }
        }
    }

    fn acts(&mut self, claim_id: &str, action: Action) -> ActionOutcome {
        let by = Actor { reason: "the model wants it".into(), operator: None, client: "127.0.0.1".into() };
        let acted = self.stage.instances[0].executor.act(claim_id, action, &by).expect("acts");
        if let ActionOutcome::Done(calls) = &acted {
            self.written(0, calls.clone());
        }
        acted
    }

    /// What is stuck, an operator finishes: the gateway is healed and it is tried again, or it is forced.
    pub fn finish_what_is_stuck(&mut self) -> usize {
        self.gateway.is_healed = self.rng.bool();
        let claim_ids: Vec<String> = self.claims.keys().cloned().collect();
        let mut stuck = 0;
        for claim_id in claim_ids {
            if self.stored(&claim_id).is_none_or(|stored| stored.stuck_reason.is_none()) {
                continue;
            }
            stuck += 1;
            let act = match self.gateway.fates[&claim_id] {
                _ if self.gateway.is_healed => Action::Retry,
                Fate::SilentOnPay => Action::Force(Some(Forced::Declined)),
                _ => Action::Force(Some(Forced::Owed)),
            };
            let acted = self.acts(&claim_id, act);
            assert!(matches!(acted, ActionOutcome::Done(_)), "{claim_id}: {acted:?}");
            self.after(60 * SECOND, Happening::Requests { claim_id, reannounced: false });
        }
        stuck
    }

    /// Whether everything is as it must be: at rest or stuck, paid once or not at all, cash as the gateway's book.
    pub fn check(&self, may_be_stuck: bool) {
        for (claim_id, claim) in &self.claims {
            let stored = self.stored(claim_id).unwrap_or_else(|| panic!("{claim_id} has no saga"));
            let saga = &stored.saga;
            let book = self.gateway.books.get(claim_id).cloned().unwrap_or_default();
            assert!(book.payments.len() <= 1, "{claim_id} is paid twice: {book:?}");
            assert!(book.refunds.len() <= 1 && (book.refunds.is_empty() || book.returned_cents == 0), "{book:?}");
            assert!(book.back_cents() == 0 || book.back_cents() == book.out_cents(), "{claim_id}: {book:?}");

            let transfers = self.stage.database().read(|c| payments::db::ledger::of_claim(c, claim_id)).expect("reads");
            let cash_out: i64 = transfers
                .iter()
                .filter(|transfer| transfer.weight == Weight::Posted)
                .map(|transfer| match (transfer.debit_account.as_str(), transfer.credit_account.as_str()) {
                    (_, "cash") => transfer.amount_cents,
                    ("cash", _) => -transfer.amount_cents,
                    _ => 0,
                })
                .sum();
            assert_eq!(cash_out, book.out_cents() - book.back_cents(), "{claim_id}: {saga:?}, {book:?}");
            if stored.stuck_reason.is_some() {
                assert!(may_be_stuck, "{claim_id} is stuck: {:?}", stored.stuck_reason);
                continue;
            }
            let outcome = saga.outcome.unwrap_or_else(|| panic!("{claim_id} has not ended: {saga:?}"));
            let known = claim.known.unwrap_or_else(|| panic!("{claim_id}: claim_process knows no end of {saga:?}"));
            assert_eq!(
                (known.kind, known.version),
                (outcome.kind, outcome.version),
                "{claim_id}: both say the same end"
            );
            assert!(claim.version < 2 || outcome.kind == OutcomeKind::Unwound, "{claim_id} was withdrawn: {saga:?}");
            match outcome.kind {
                OutcomeKind::Settled => assert_eq!(cash_out, claim.amount_cents.max(0), "{claim_id}: settled is paid"),
                OutcomeKind::Unwound => {
                    let owed: i64 = transfers
                        .iter()
                        .map(|transfer| match transfer.kind {
                            Kind::OpenReceivable => transfer.amount_cents,
                            Kind::CloseReceivable => -transfer.amount_cents,
                            _ => 0,
                        })
                        .sum();
                    assert_eq!(cash_out, owed, "{claim_id}: unwound is not paid, or owed");
                }
            }
        }
    }
}
