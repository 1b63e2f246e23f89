//! The executor on both databases: one write each, calls after the commit, answers only against their revision.

use crate::harness::{Approving, CLAIM, Instance, approved, declined, event, refunded, settings, unknown};
use claim_events::OutcomeKind;
use diesel::{RunQueryDsl, sql_query};
use dual_db::{Connection, Database, Error, on_each_backend};
use payments::db::sagas::{self, SagaWrite, StoredSaga, count_stuck};
use payments::domain::saga::{Call, Disbursement, Input, PayAnswer, PaymentState, RefundAnswer, Reservation, State};
use payments::executor::operator::{Action, ActionOutcome, Actor};
use payments::gateway::Dispatcher;
use payments::settings::BudgetSettings;
use payments::worker::AnswerWriter;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use test_support::{Tally, execute, on_both_databases, wait_until};
use worker_threads::Worker;

fn outcome(instance: &Instance) -> Option<(OutcomeKind, i64)> {
    instance.saga(CLAIM).saga.outcome.map(|outcome| (outcome.kind, outcome.version))
}

/// Writes other facts.
fn spoil(database: &Database, claim_id: &str, facts: &str) {
    let sql = format!("UPDATE sagas SET facts = {facts} WHERE claim_id = '{claim_id}'");
    let spoils = database.write(|c| Ok(on_each_backend!(c, |c| sql_query(&sql).execute(c))?));
    assert_eq!(spoils.expect("spoils"), 1);
}

/// No program can read them.
const UNREADABLE: &str = "'{\"of\": \"a newer version\"}'";

/// What was reserved would be reserved once more, which the ledger refuses.
const UNWRITABLE: &str = "REPLACE(REPLACE(facts, '\"reservation\":\"pending\"', '\"reservation\":\"none\"'), \
     '\"disbursement\":\"intended\"', '\"disbursement\":\"none\"')";

on_both_databases! {
    fn the_intent_is_stored_before_the_call_is_made(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 11_685, 1));
        let stored = instance.saga(CLAIM);
        assert_eq!(calls.len(), 1);
        assert_eq!((stored.saga.reservation, stored.saga.disbursement), (Reservation::Pending, Disbursement::Intended));
        assert_eq!((stored.revision, calls[0].revision, stored.worker.as_deref()), (1, 1, Some("one")));
        assert_eq!(instance.transfer_kinds(CLAIM), ["reserve"]);
        assert!(matches!(&calls[0].call, Call::Pay { key, amount_cents: 11_685, .. } if *key == format!("{CLAIM}.disburse")));
        assert_eq!(instance.published(), 0);
    }

    fn an_approval_settles_in_one_write(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 11_685, 1));
        assert_eq!(instance.answer(&calls[0], approved(11_685)), []);
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve"]);
        assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)));
        let stored = instance.saga(CLAIM);
        assert_eq!((stored.revision, stored.next_attempt_at_us, stored.worker), (2, None, None));
        assert_eq!((instance.published(), instance.books_off()), (1, 0));
        assert_eq!(instance.resume(), []);
    }

    fn a_repeated_event_makes_no_second_payment_and_is_answered_again_once_there_is_an_outcome(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(instance.receive(&event(CLAIM, 100, 1)), []);
        assert_eq!((instance.published(), instance.saga(CLAIM).revision), (0, 1));
        instance.answer(&calls[0], approved(100));
        let delivered = instance.delivered();
        assert_eq!(instance.receive(&event(CLAIM, 100, 1)), []);
        assert_eq!((instance.delivered(), instance.saga(CLAIM).revision), (delivered, 2));
    }

    fn a_stopped_worker_is_replaced_and_what_it_did_not_hear_is_not_written(database: &Database) {
        let (stopped, other) = (Instance::new(database, "stopped"), Instance::new(database, "other"));
        let old = stopped.receive(&event(CLAIM, 100, 1));
        let new = other.resume();
        assert_eq!(new.len(), 1);
        assert_eq!(new[0].call, old[0].call, "the same key is sent again");
        assert_eq!(other.saga(CLAIM).worker.as_deref(), Some("other"));

        // The zombie wakes up with a time-out under a revision that is past.
        let before = other.saga(CLAIM);
        stopped.answer(&old[0], unknown());
        assert_eq!(other.saga(CLAIM), before);
        other.answer(&new[0], approved(100));
        stopped.answer(&old[0], approved(100));
        assert_eq!(other.transfer_kinds(CLAIM), ["disburse", "post", "reserve"]);
        assert_eq!(outcome(&other), Some((OutcomeKind::Settled, 1)));
    }

    fn a_definite_answer_counts_whenever_it_comes_and_another_one_after_it_is_an_alarm(database: &Database) {
        let instance = Instance::new(database, "one");
        let first = instance.receive(&event(CLAIM, 100, 1));
        let again = instance.receive(&event(CLAIM, 100, 2));
        assert_eq!(again[0].call, first[0].call, "the void has the same key sent again");
        let refund = instance.answer(&first[0], approved(100));
        assert!(matches!(refund[0].call, Call::Refund { amount_cents: 100, .. }), "{refund:?}");

        let alarms = Tally::of("payment_alarms_total");
        let counting = metrics::set_default_local_recorder(&alarms);
        assert_eq!(instance.answer(&again[0], declined()), []);
        drop(counting);
        assert_eq!((alarms.total(), instance.transfer_kinds(CLAIM)), (1, vec!["disburse".into(), "reserve".into()]));

        let taken_up = instance.resume();
        assert_eq!(taken_up[0].call, refund[0].call);
        assert_eq!(instance.answer(&refund[0], refunded()), []);
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "refund", "release", "reserve"]);
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 1)), 0));
    }

    fn a_payment_that_is_tried_again_faster_than_the_gateway_answers_is_written_all_the_same(database: &Database) {
        let instance = Instance::new(database, "one");
        let first = instance.receive(&event(CLAIM, 100, 1));
        let by = Actor { reason: "in a hurry".into(), operator: None, client: "192.0.2.7".into() };
        for _ in 0..3 {
            assert!(matches!(instance.executor.act(CLAIM, Action::Retry, &by).expect("acts"), ActionOutcome::Done(_)));
        }
        instance.answer(&first[0], approved(100));
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Settled, 1)), 0));
    }

    fn a_saga_is_not_written_under_a_revision_that_is_past(database: &Database) {
        let instance = Instance::new(database, "one");
        instance.receive(&event(CLAIM, 100, 1));
        let stored = instance.saga(CLAIM);
        let read_revision = stored.revision;
        let write = SagaWrite { stored: StoredSaga { revision: read_revision + 1, ..stored }, read_revision };
        database.write(|c| sagas::write_all(c, std::slice::from_ref(&write))).expect("it is as it was read");
        let refused = database.read(|c| sagas::write_all(c, std::slice::from_ref(&write)));
        assert!(matches!(refused, Err(Error::Conflict)), "{refused:?}");
    }

    fn an_unknown_answer_is_retried_under_the_same_key(database: &Database) {
        let instance = Instance::new(database, "one");
        let first = instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(instance.answer(&first[0], unknown()), []);
        assert_eq!(instance.saga(CLAIM).saga.attempts.disburse, 1);
        let second = instance.resume();
        assert_eq!(second[0].call, first[0].call);
        instance.answer(&second[0], unknown());
        let third = instance.resume();
        assert_eq!([&first, &second, &third].map(|calls| calls[0].tries), [0, 1, 2]);
        instance.answer(&third[0], approved(100));
        assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)));
    }

    fn a_pause_that_the_gateway_demands_is_kept(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        instance.answer(&calls[0], Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: Some(60_000) }));
        assert_eq!(instance.resume(), []);
        let stored = instance.saga(CLAIM);
        let pause_us = stored.next_attempt_at_us.expect("it is taken up again") - stored.updated_at_us;
        assert_eq!(pause_us, 60_000_000);
    }

    fn a_saga_without_a_definite_answer_is_reported_as_stuck_and_still_ends(database: &Database) {
        let mut few = settings();
        few.saga.stuck_after_attempts = 3;
        let instance = Instance::with_settings(database, "one", few);
        let mut calls = instance.receive(&event(CLAIM, 100, 1));
        for _ in 0..3 {
            assert_eq!(instance.saga(CLAIM).stuck_reason, None);
            instance.answer(&calls[0], unknown());
            calls = instance.resume();
        }
        assert!(instance.saga(CLAIM).stuck_reason.expect("stuck").contains("3 requests"));
        instance.answer(&calls[0], approved(100));
        assert_eq!((instance.saga(CLAIM).stuck_reason, outcome(&instance)), (None, Some((OutcomeKind::Settled, 1))));
    }

    fn a_payment_is_no_longer_stuck_once_it_waits_for_something_else(database: &Database) {
        let mut few = settings();
        few.saga.stuck_after_attempts = 2;
        let instance = Instance::with_settings(database, "one", few);
        let mut pay = instance.receive(&event(CLAIM, 100, 1));
        for _ in 0..2 {
            instance.answer(&pay[0], unknown());
            pay = instance.resume();
        }
        assert!(instance.saga(CLAIM).stuck_reason.is_some());
        let pay = instance.receive(&event(CLAIM, 100, 2));
        assert!(instance.saga(CLAIM).stuck_reason.is_some(), "it still waits to know whether it was paid");
        let mut refund = instance.answer(&pay[0], approved(100));
        let lost = Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None });
        for _ in 0..2 {
            assert_eq!(instance.saga(CLAIM).state(), PaymentState::Unwinding);
            instance.answer(&refund[0], lost.clone());
            refund = instance.resume();
        }
        assert_eq!(instance.saga(CLAIM).state(), PaymentState::Stuck, "that is counted from zero");
    }

    fn a_void_after_settlement_reverses_and_refunds(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        instance.answer(&calls[0], approved(100));
        let refund = instance.receive(&event(CLAIM, 100, 2));
        assert!(matches!(refund[0].call, Call::Refund { amount_cents: 100, .. }));
        assert_eq!(instance.saga(CLAIM).saga.state(), State::Unwinding);
        instance.answer(&refund[0], refunded());
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "refund", "reserve", "reverse"]);
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));
    }

    fn a_void_and_its_submission_in_one_batch_pay_nothing_that_is_not_paid_back(database: &Database) {
        let instance = Instance::new(database, "one");
        let both = [event(CLAIM, 100, 1), event(CLAIM, 100, 2)];
        let calls = instance.hear_all(&both);
        assert_eq!(calls.len(), 1, "one saga, one call");
        let refund = instance.answer(&calls[0], approved(100));
        instance.answer(&refund[0], refunded());
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 1)), 0));
    }

    fn the_same_claim_with_other_content_is_dead_lettered(database: &Database) {
        let instance = Instance::new(database, "one");
        instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(instance.receive(&event(CLAIM, 999, 2)), []);
        assert_eq!((instance.dead_letters(), instance.saga(CLAIM).saga.claim_version), (1, 1));
    }

    fn many_instances_that_hear_the_same_events_at_once_begin_one_saga_each(database: &Database) {
        let instances: Vec<Instance> = (0..4).map(|n| Instance::new(database, &n.to_string())).collect();
        let events: Vec<_> = (0..25).map(|n| event(&format!("claim{n:017}"), 100, 1)).collect();
        let calls: usize = std::thread::scope(|scope| {
            let hearing: Vec<_> = instances
                .iter()
                .map(|instance| scope.spawn(|| instance.hear_all(&events).len()))
                .collect();
            hearing.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(calls, events.len(), "each claim is paid by one of them");
    }

    fn many_instances_that_take_up_work_at_once_have_each_saga_to_themselves(database: &Database) {
        let mut long = settings();
        let instance = Instance::new(database, "gone");
        let events: Vec<_> = (0..40).map(|n| event(&format!("claim{n:017}"), 100, 1)).collect();
        instance.hear_all(&events);
        instance.let_leases_end();
        long.saga.lease_ms = 60_000;
        let instances: Vec<Instance> = (0..4).map(|n| Instance::with_settings(database, &n.to_string(), long.clone())).collect();
        let mut taken: Vec<String> = std::thread::scope(|scope| {
            let taking: Vec<_> = instances.iter().map(|instance| scope.spawn(|| instance.executor.resume(100).expect("takes up"))).collect();
            taking.into_iter().flat_map(|thread| thread.join().expect("no panic")).map(|call| call.claim_id).collect()
        });
        taken.sort();
        let before = taken.len();
        taken.dedup();
        assert_eq!((before, taken.len()), (40, 40));
    }

    fn what_fails_again_and_again_does_not_keep_others_from_being_taken_up(database: &Database) {
        let instance = Instance::new(database, "one");
        let ids: Vec<String> = (0..10).map(|n| format!("claim{n:017}")).collect();
        let execute = |sql: String| {
            database.write(|c| Ok(on_each_backend!(c, |c| sql_query(&sql).execute(c))?)).expect("executes");
        };
        for (id, earlier) in ids.iter().zip((0..10).rev()) {
            instance.receive(&event(id, 100, 1));
            // The first came first, however fast this machine is.
            execute(format!("UPDATE sagas SET started_at_us = started_at_us - {earlier}000000 WHERE claim_id = '{id}'"));
        }
        let take = |limit| -> Vec<String> {
            // All are due, the first of them for longest, and six of them were tried before.
            execute("UPDATE sagas SET next_attempt_at_us = started_at_us, tries = 0".to_owned());
            execute(format!("UPDATE sagas SET tries = 5 WHERE claim_id <= '{}'", ids[5]));
            let calls = instance.executor.resume(limit).expect("takes up");
            let mut taken: Vec<String> = calls.into_iter().map(|call| call.claim_id).collect();
            taken.sort();
            taken
        };
        let of = |numbers: &[usize]| -> Vec<String> { numbers.iter().map(|n| ids[*n].clone()).collect() };
        assert_eq!(take(1), of(&[6]));
        assert_eq!(take(2), of(&[6, 7]));
        assert_eq!(take(3), of(&[0, 6, 7]));
        assert_eq!(take(6), of(&[0, 1, 6, 7, 8, 9]));
        assert_eq!(take(7), of(&[0, 1, 2, 6, 7, 8, 9]));
        assert_eq!(take(10), ids);
        assert_eq!(take(100), ids);
        // How often one was tried is written with it.
        let calls = instance.receive(&event("tried", 100, 1));
        instance.answer(&calls[0], unknown());
        execute("DELETE FROM sagas WHERE tries <> 1".to_owned());
        assert_eq!(instance.saga("tried").saga.attempts.disburse, 1);
    }

    fn concurrent_reserves_cannot_overdraw_a_budget(database: &Database) {
        let mut limited = settings();
        limited.budgets = vec![BudgetSettings { plan_prefix: "GRP-".into(), limit_cents: 1_000 }];
        let instance = Instance::with_settings(database, "one", limited);
        std::thread::scope(|scope| {
            for n in 0..64 {
                let instance = &instance;
                scope.spawn(move || instance.receive(&event(&format!("claim{n:017}"), 100, 1)));
            }
        });
        let sagas: Vec<_> = (0..64).map(|n| instance.saga(&format!("claim{n:017}")).saga).collect();
        let reserved = sagas.iter().filter(|saga| saga.reservation == Reservation::Pending).count();
        let refused = sagas.iter().filter(|saga| saga.reservation == Reservation::Refused && saga.state() == State::Unwound).count();
        assert_eq!((reserved, refused), (10, 54));
        // What is given back can be spent again.
        let first = sagas.iter().find(|saga| saga.reservation == Reservation::Pending).expect("one");
        let call = instance.executor.resume(100).expect("takes up").into_iter().find(|call| call.claim_id == first.claim_id);
        instance.answer(&call.expect("its call"), Input::PayAnswer(PayAnswer::Declined { code: "no".into() }));
        assert_eq!(instance.receive(&event("one more", 100, 1)).len(), 1);
        assert_eq!(instance.receive(&event("one too many", 100, 1)).len(), 0);
    }

    fn a_plan_that_gets_a_budget_later_is_counted_from_its_first_claim_on(database: &Database) {
        let without = Instance::new(database, "without");
        let pay = |instance: &Instance, claim_id: &str, cents| {
            let calls = instance.receive(&event(claim_id, cents, 1));
            calls.iter().for_each(|call| drop(instance.answer(call, approved(cents))));
            calls.len()
        };
        assert_eq!(pay(&without, "before", 90), 1);
        let mut limited = settings();
        limited.budgets = vec![BudgetSettings { plan_prefix: "GRP-".into(), limit_cents: 100 }];
        let with = Instance::with_settings(database, "with", limited);
        assert_eq!(pay(&with, "too much", 20), 0);
        assert_eq!(pay(&with, "just enough", 10), 1);
        // Without a budget again it is still counted, and what is undone meanwhile is given back.
        assert_eq!(pay(&without, "more", 50), 1);
        let refund = without.receive(&event("before", 90, 2));
        without.answer(&refund[0], refunded());
        assert_eq!(pay(&with, "too much again", 41), 0);
        assert_eq!(pay(&with, "the rest", 40), 1);
        assert_eq!(with.books_off(), 0);
    }

    fn a_saga_that_cannot_be_read_is_stuck_and_costs_no_other_its_turn(database: &Database) {
        let instance = Instance::new(database, "one");
        instance.hear_all(&[event(CLAIM, 100, 1), event("another", 100, 1)]);
        spoil(database, "another", UNREADABLE);
        let taken: Vec<String> = instance.resume().into_iter().map(|call| call.claim_id).collect();
        assert_eq!(taken, [CLAIM]);
        assert_eq!(database.read(count_stuck).expect("counts"), 1);
    }

    fn a_saga_that_cannot_be_written_is_stuck_and_costs_no_other_its_turn(database: &Database) {
        let instance = Instance::new(database, "one");
        let spoilt = ["spoilt-1", "spoilt-2"];
        instance.hear_all(&[event(spoilt[0], 100, 1), event(CLAIM, 100, 1), event(spoilt[1], 100, 1)]);
        spoilt.iter().for_each(|claim_id| spoil(database, claim_id, UNWRITABLE));
        for _ in 0..2 {
            let taken: Vec<String> = instance.resume().into_iter().map(|call| call.claim_id).collect();
            assert_eq!(taken, [CLAIM]);
            assert_eq!(database.read(count_stuck).expect("counts"), 2);
        }
        for claim_id in spoilt {
            let stored = instance.saga(claim_id);
            assert!(stored.stuck_reason.expect("stuck").contains("refuses"));
            assert_eq!((stored.revision, stored.saga.reservation), (2, Reservation::None), "its facts are as they were");
            assert_eq!(instance.transfer_kinds(claim_id), ["reserve"]);
        }
    }

    fn a_saga_that_fails_without_a_known_reason_is_stuck_while_the_database_can_be_written(database: &Database) {
        let instance = Instance::new(database, "one");
        instance.hear_all(&[event("spoilt", 100, 1), event(CLAIM, 100, 1)]);
        database
            .write(|c| match c {
                Connection::Sqlite(_) => execute(
                    c,
                    "CREATE TRIGGER spoilt BEFORE UPDATE ON sagas WHEN NEW.claim_id = 'spoilt' AND NEW.stuck_reason IS NULL \
                     BEGIN SELECT RAISE(ABORT, 'unbekannt'); END",
                ),
                Connection::Postgres(_) => {
                    execute(
                        c,
                        "CREATE FUNCTION spoilt() RETURNS trigger LANGUAGE plpgsql AS \
                         $$ BEGIN RAISE EXCEPTION 'unbekannt'; END $$",
                    )?;
                    execute(
                        c,
                        "CREATE TRIGGER spoilt BEFORE UPDATE ON sagas FOR EACH ROW \
                         WHEN (NEW.claim_id = 'spoilt' AND NEW.stuck_reason IS NULL) EXECUTE FUNCTION spoilt()",
                    )
                }
            })
            .expect("one saga fails");
        let mut taken = Vec::new();
        wait_until("one is taken up, and the other is stuck", || {
            let calls = instance.executor.resume(100).expect("one saga does not fail all");
            taken.extend(calls.into_iter().map(|call| call.claim_id));
            taken.iter().any(|claim_id| claim_id == CLAIM) && database.read(count_stuck).expect("counts") == 1
        });
        assert!(!taken.iter().any(|claim_id| claim_id == "spoilt"), "{taken:?}");
    }

    fn a_database_that_is_full_while_sagas_are_taken_up_makes_none_of_them_stuck(database: &Database) {
        let instance = Instance::new(database, "one");
        instance.hear_all(&[event(CLAIM, 100, 1), event("another", 100, 1)]);
        let execute = |sql: &str| {
            database.write(|c| Ok(on_each_backend!(c, |c| sql_query(sql).execute(c))?)).expect("executes");
        };
        let is_sqlite = database.read(|c| Ok(matches!(c, Connection::Sqlite(_)))).expect("reads");
        let (make, drop) = if is_sqlite {
            let full = "CREATE TRIGGER full BEFORE UPDATE ON sagas BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
            (vec![full], "DROP TRIGGER full")
        } else {
            let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
                        $$ BEGIN RAISE EXCEPTION 'No space left on device'; END $$";
            let on_update =
                "CREATE TRIGGER full_disk BEFORE UPDATE ON sagas FOR EACH ROW EXECUTE FUNCTION full_disk()";
            (vec![full, on_update], "DROP TRIGGER full_disk ON sagas")
        };
        make.into_iter().for_each(execute);
        std::thread::sleep(Duration::from_millis(5));
        let refused = instance.executor.resume(100);
        assert!(refused.as_ref().is_err_and(Error::is_trouble), "{refused:?}");
        execute(drop);
        assert_eq!(database.read(count_stuck).expect("counts"), 0);
        assert_eq!(instance.resume().len(), 2, "they are taken up as soon as it is well again");
    }

    fn an_outcome_names_the_event_that_it_answers(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        instance.answer(&calls[0], approved(100));
        let mut void = event(CLAIM, 100, 2);
        void.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
        let refund = instance.receive(&void);
        // Neither a repetition nor one from before is the cause of what follows.
        for (version, event_id) in [(2, "repeated"), (1, "late")] {
            let mut again = event(CLAIM, 100, version);
            again.event_id = event_id.into();
            assert_eq!(instance.receive(&again), []);
        }
        instance.answer(&refund[0], refunded());
        let causes: Vec<_> = instance
            .delivered()
            .into_iter()
            .map(|(envelope, _)| (envelope.id, envelope.causation_id, envelope.traceparent))
            .collect();
        let expected = [("settled.1", "event.1", None), ("unwound.2", "event.2", void.traceparent)];
        let expected = expected.map(|(outcome, cause, trace)| (format!("{CLAIM}.payment.{outcome}"), format!("{CLAIM}.{cause}"), trace));
        assert_eq!(causes, expected);
    }

    fn an_answer_that_cannot_be_written_costs_no_other_its_own(database: &Database) {
        let mut patient = settings();
        patient.saga.lease_ms = 60_000;
        let instance = Instance::with_settings(database, "one", patient.clone());
        let calls = instance.hear_all(&[event(CLAIM, 100, 1), event("another", 100, 1)]);
        spoil(database, "another", UNREADABLE);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, answered) = channel();
        let gateway = Arc::new(Approving::default());
        let dispatcher = Dispatcher::new(Arc::<Approving>::clone(&gateway), runtime.handle().clone(), &patient, answers);
        dispatcher.dispatch(calls);
        wait_until("both are called", || gateway.payments() == 2);
        // Both answers wait, so that they come into one transaction.
        let writer = AnswerWriter::start(instance.executor.clone(), dispatcher, answered, &patient.saga, Worker::idle());
        wait_until("the other is settled", || instance.saga(CLAIM).saga.state() == State::Settled);
        writer.drain(Duration::from_secs(1));
    }
}
