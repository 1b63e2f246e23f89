//! What the executor measures in time, to the microsecond, by a clock that the test sets: leases, pauses, the deadline and
//! how long the gateway remembers a key.

use crate::harness::{CLAIM, Instance, approved, event, reconcile, settings, unknown};
use claim_events::{Cause, OutcomeKind, PaymentEvent, Unwound};
use diesel::{RunQueryDsl, sql_query};
use dual_db::{Connection, Database, TrustedClock, on_each_backend};
use payments::db::sagas::{self, ListFilter};
use payments::domain::saga::{Call, ClaimUpdate, Input, LookUpAnswer, PayAnswer, PaymentState, State};
use payments::executor::ClaimEventRead;
use payments::executor::clock::Clock;
use payments::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use test_support::{count, execute, on_both_databases};

const MS: i64 = 1_000;
const SECOND: i64 = 1_000 * MS;

/// An instance, and its clock.
struct Timed {
    instance: Instance,
    now_us: Arc<AtomicI64>,
}

impl Timed {
    /// Begins an hour after its database was made, so that no claim is from before it.
    fn start(database: &Database, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let mut instance = Instance::with_settings(database, "one", settings);
        let made_us = database.read(Connection::now_us).expect("reads");
        let now_us = Arc::new(AtomicI64::new(made_us + 3_600 * SECOND));
        instance.executor = instance.executor.clone().by(Clock::Virtual(Arc::clone(&now_us)));
        Self { instance, now_us }
    }

    fn now(&self) -> i64 {
        self.now_us.load(Ordering::SeqCst)
    }

    fn pass(&self, us: i64) {
        self.now_us.fetch_add(us, Ordering::SeqCst);
    }

    /// For how long the saga is left alone from now on.
    fn left_alone(&self) -> i64 {
        self.instance.saga(CLAIM).next_attempt_at_us.expect("it is taken up some time") - self.now()
    }

    fn take_up(&self) -> Vec<Call> {
        self.instance.executor.resume(100).expect("takes up").into_iter().map(|planned| planned.call).collect()
    }
}

on_both_databases! {
    fn a_saga_is_taken_up_when_its_lease_is_over_and_not_before(database: &Database) {
        let timed = Timed::start(database, |settings| settings.saga.lease_ms = 15_000);
        let first = timed.instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(timed.left_alone(), 15 * SECOND);
        timed.pass(15 * SECOND - 1);
        assert_eq!(timed.take_up(), []);
        timed.pass(1);
        assert_eq!(timed.take_up(), [first[0].call.clone()]);
        assert_eq!(timed.left_alone(), 15 * SECOND, "its lease begins again");
        assert_eq!(timed.take_up(), []);
    }

    fn pauses_double_up_to_the_longest_and_are_spread_by_up_to_a_quarter(database: &Database) {
        let timed = Timed::start(database, |settings| {
            settings.saga.retry_pause_ms = 100;
            settings.saga.max_retry_pause_ms = 1_000;
        });
        let mut calls = timed.instance.receive(&event(CLAIM, 100, 1));
        let mut spread = 0;
        for pause_ms in [100, 200, 400, 800, 1_000, 1_000] {
            timed.instance.answer(&calls[0], unknown());
            let pause_us = timed.left_alone();
            let more_us = pause_us - pause_ms * MS;
            assert!((0..=pause_ms * MS / 4).contains(&more_us), "{pause_us} µs where {pause_ms} ms are due");
            spread += more_us;
            timed.pass(pause_us - 1);
            assert_eq!(timed.take_up(), []);
            timed.pass(1);
            calls = timed.instance.executor.resume(100).expect("takes up");
            assert_eq!(calls.len(), 1);
        }
        assert!(spread > MS, "sagas that failed together do not all come back together");
        // A longer one that the gateway asks for counts, and a shorter one does not.
        for (asked_ms, least_ms, most_ms) in [(5_000, 5_000, 5_000), (10, 1_000, 1_250)] {
            let answer = PayAnswer::Unknown { retry_after_ms: Some(asked_ms) };
            timed.instance.answer(&calls[0], Input::PayAnswer(answer));
            let pause_us = timed.left_alone();
            assert!((least_ms * MS..=most_ms * MS).contains(&pause_us), "{pause_us} µs");
            timed.pass(pause_us);
            calls = timed.instance.executor.resume(100).expect("takes up");
        }
    }

    fn a_saga_that_cannot_be_read_is_looked_at_again_after_the_longest_pause(database: &Database) {
        let timed = Timed::start(database, |settings| settings.saga.max_retry_pause_ms = 30_000);
        timed.instance.receive(&event(CLAIM, 100, 1));
        let unreadable = "UPDATE sagas SET facts = '{}'";
        let spoils = database.write(|c| Ok(on_each_backend!(c, |c| sql_query(unreadable).execute(c))?));
        assert_eq!(spoils.expect("spoils"), 1);
        timed.pass(SECOND);
        assert_eq!(timed.take_up(), []);
        let due = database.read(|c| sagas::list(c, &ListFilter { state: Some(PaymentState::Stuck), before: None }, 10));
        let due: Vec<Option<i64>> = due.expect("lists").into_iter().map(|listed| listed.next_attempt_at_us).collect();
        assert_eq!(due, [Some(timed.now() + 30 * SECOND)]);
    }

    fn a_claim_as_old_as_its_deadline_is_begun_and_an_older_one_is_not(database: &Database) {
        let timed = Timed::start(database, |settings| settings.saga.deadline_ms = 60_000);
        for (claim_id, age_us, begun) in [("in time", 60 * SECOND, true), ("too late", 60 * SECOND + 1, false)] {
            let mut submitted = event(claim_id, 100, 1);
            submitted.update.submitted_at_us = timed.now() - age_us;
            assert_eq!(timed.instance.receive(&submitted).len(), usize::from(begun), "{claim_id}");
        }
        let saga = timed.instance.saga("too late").saga;
        assert_eq!((saga.state(), saga.unwinding.map(|why| why.cause)), (State::Unwound, Some(Cause::Deadline)));
    }

    fn a_key_is_sent_until_its_call_could_outlast_the_gateways_memory(database: &Database) {
        let timed = Timed::start(database, |settings| {
            settings.saga.lease_ms = 10_000;
            settings.saga.max_retry_pause_ms = 30_000;
            settings.gateway.key_lifetime_ms = 60_000;
        });
        timed.instance.receive(&event("older", 100, 1));
        timed.pass(1);
        timed.instance.receive(&event("younger", 100, 1));
        timed.pass(50 * SECOND);
        let calls = timed.instance.executor.resume(100).expect("takes up");
        let of = |claim_id: &str| &calls.iter().find(|planned| planned.claim_id == claim_id).expect("is due").call;
        assert!(matches!(of("younger"), Call::Pay { .. }), "its lease ends with the key's lifetime: {calls:?}");
        assert!(matches!(of("older"), Call::LookUp { .. }), "{calls:?}");
        // Not found, it is stuck: an operator has to look, and the gateway is not called again and again.
        let look_up = calls.iter().find(|planned| planned.claim_id == "older").expect("is due");
        timed.instance.answer(look_up, reconcile(LookUpAnswer::NotFound));
        let stuck = timed.instance.saga("older");
        assert!(stuck.stuck_reason.is_some());
        assert_eq!(stuck.next_attempt_at_us, Some(timed.now() + 30 * SECOND));
    }

    fn a_repeated_outcome_carries_the_time_at_which_it_came_to_be(database: &Database) {
        let timed = Timed::start(database, |_| ());
        let calls = timed.instance.receive(&event(CLAIM, 100, 1));
        timed.pass(SECOND);
        timed.instance.answer(&calls[0], approved(100));
        let settled_us = timed.now();
        timed.pass(60 * SECOND);
        let mut asked = event(CLAIM, 100, 1);
        asked.update.resync_epoch = 1;
        timed.instance.receive(&asked);
        let stored = timed.instance.saga(CLAIM);
        assert_eq!((stored.updated_at_us, stored.saga.resync_epoch), (settled_us, 1));
        let times: Vec<String> = timed.instance.delivered().into_iter().map(|(envelope, _)| envelope.time).collect();
        assert_eq!(times, vec![claim_events::rfc3339(settled_us); 2]);
        assert_eq!(stored.saga.outcome.map(|outcome| outcome.kind), Some(OutcomeKind::Settled));
    }

    fn a_settled_payment_that_is_voided_was_updated_then(database: &Database) {
        let timed = Timed::start(database, |_| ());
        let calls = timed.instance.receive(&event(CLAIM, 100, 1));
        timed.instance.answer(&calls[0], approved(100));
        timed.pass(SECOND);
        timed.instance.receive(&event(CLAIM, 100, 2));
        let stored = timed.instance.saga(CLAIM);
        assert_eq!((stored.saga.state(), stored.updated_at_us), (State::Unwinding, timed.now()));
    }
    fn a_claim_is_not_given_up_by_a_clock_that_is_not_trusted(database: &Database) {
        const DAY: i64 = 86_400 * SECOND;
        let mut timed = Timed::start(database, |_| ());
        let trust = |timed: &mut Timed| {
            let clock = TrustedClock::open(database, sagas::newest_us).expect("opens");
            timed.instance.executor = timed.instance.executor.clone().trusting(clock);
        };
        let submitted = |claim_id: &str, submitted_at_us| {
            let event = event(claim_id, 100, 1);
            ClaimEventRead { update: ClaimUpdate { submitted_at_us, ..event.update }, ..event }
        };
        trust(&mut timed);
        let [early, late] = [CLAIM, "another00000000000000A"].map(|claim_id| submitted(claim_id, timed.now()));
        // Ten years ahead, everything is too late but what is accepted by the same clock.
        timed.pass(3_653 * DAY);
        assert_eq!(timed.instance.receive(&early), []);
        assert_eq!((count(database, "sagas"), timed.instance.published()), (0, 0), "it is left as it is");
        assert_eq!(timed.instance.receive(&submitted("young000000000000000A", timed.now())).len(), 1);
        timed.pass(-3_653 * DAY);
        assert_eq!(timed.instance.receive(&early).len(), 1, "it is begun once the clock is right");
        // Forty days, for which the service has run, are too late.
        timed.pass(40 * DAY);
        database.write(|c| execute(c, &format!("UPDATE trusted_clock SET at_us = {}", timed.now()))).expect("writes");
        trust(&mut timed);
        assert_eq!(timed.instance.receive(&late), []);
        let unwound = timed.instance.delivered().pop().expect("an outcome").1;
        assert!(matches!(unwound, PaymentEvent::Unwound(Unwound { cause: Cause::Deadline, .. })), "{unwound:?}");
    }
}
