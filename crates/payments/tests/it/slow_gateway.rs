//! A gateway that is slower than claims come: calls wait for their turn, and every one that is made counts.

use crate::harness::{Approving, Instance, event, settings};
use dual_db::Database;
use payments::domain::saga::State;
use payments::gateway::Dispatcher;
use payments::gateway::keyed_json::KeyedJsonGateway;
use payments::settings::Settings;
use payments::worker::{AnswerWriter, start_resuming};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use test_support::{assert_uses_index, execute, number, on_both_databases, wait_until};
use worker_threads::Worker;

const CLAIMS: usize = 50;
const CALL: Duration = Duration::from_millis(150);
/// How often sagas are taken up while a test looks on: some in each lease.
const TAKEN_UP: i64 = 12;

/// One call at once, which may take half of a lease.
fn one_call_at_once() -> Settings {
    let mut settings = settings();
    settings.gateway.concurrency.start = 1;
    settings.gateway.max_concurrent_calls = 1;
    settings.gateway.request_timeout_ms = 1_000;
    settings.saga.lease_ms = 2_000;
    settings.saga.resume_interval_ms = 20;
    settings
}

on_both_databases! {
    /// All calls together take several leases. One that was made after its lease was over would be made in vain, and were
    /// the queue long enough, so would be every one.
    fn calls_that_waited_too_long_are_left_to_the_next_lease(database: &Database) {
        let few = one_call_at_once();
        let instance = Instance::with_settings(database, "one", few.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, answered) = channel();
        let gateway = Arc::new(Approving::slow(CALL));
        let dispatcher = Dispatcher::new(Arc::<Approving>::clone(&gateway), runtime.handle().clone(), &few, answers);
        let writer = AnswerWriter::start(instance.executor.clone(), dispatcher.clone(), answered, &few.saga, Worker::idle());
        let resuming = start_resuming(instance.executor.clone(), dispatcher.clone(), &few.saga, Worker::idle());

        let ids: Vec<String> = (0..CLAIMS).map(|n| format!("claim{n:017}")).collect();
        let events: Vec<_> = ids.iter().map(|id| event(id, 100, 1)).collect();
        dispatcher.dispatch(instance.hear_all(&events));
        wait_until("all are settled, and not called in vain", || {
            ids.iter().all(|id| instance.saga(id).saga.state() == State::Settled)
        });
        resuming.stop();
        writer.drain(Duration::from_secs(1));
        let made = gateway.payments();
        assert!(made <= CLAIMS + CLAIMS / 5, "{made} calls for {CLAIMS} claims");
        assert_eq!(instance.books_off(), 0);
        // Each is written when its claim is received, when it is taken up, and when it is answered, and a few are taken up in
        // vain. Were all taken up that wait, whenever their leases are over, it would be more than six times for each.
        let written: i64 = ids.iter().map(|id| instance.saga(id).revision).sum();
        let claims = i64::try_from(CLAIMS).expect("few");
        assert!(written <= 4 * claims, "{written} writes for {CLAIMS} claims");
    }

    /// Sagas that wait may not take the room that new claims need: there can be any number of them, and while the gateway
    /// does not answer, hardly any is called.
    fn a_gateway_that_hangs_leaves_room_for_new_claims(database: &Database) {
        let mut few = one_call_at_once();
        few.saga.max_in_flight = 20;
        let instance = Instance::with_settings(database, "one", few.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, _answered) = channel();
        let hanging = Arc::new(Approving::hanging());
        let dispatcher = Dispatcher::new(Arc::<Approving>::clone(&hanging), runtime.handle().clone(), &few, answers);
        let events: Vec<_> = (0..100).map(|n| event(&format!("claim{n:017}"), 100, 1)).collect();
        // The instance that received them was stopped before it called.
        instance.hear_all(&events);
        let resuming = start_resuming(instance.executor.clone(), dispatcher.clone(), &few.saga, Worker::idle());
        wait_until("one is taken up and called", || hanging.payments() > 0);
        // Those that wait are given up when their leases are over, and others are taken up, lease after lease.
        let taken_up = || number(database, "SELECT CAST(SUM(revision) AS BIGINT) AS n FROM sagas");
        let before = taken_up();
        wait_until("sagas are taken up for several leases", || {
            assert!(dispatcher.room() > few.saga.max_in_flight / 2, "room for {} more", dispatcher.room());
            taken_up() >= before + TAKEN_UP
        });
        resuming.stop();
        assert_eq!(hanging.payments(), 1);
        runtime.shutdown_background();
    }

    fn what_was_leased_under_a_clock_that_was_ahead_is_taken_up_at_once(database: &Database) {
        let mut patient = one_call_at_once();
        patient.saga.lease_ms = 60_000;
        let instance = Instance::with_settings(database, "one", patient.clone());
        let ids: Vec<String> = (0..3).map(|n| format!("claim{n:017}")).collect();
        instance.hear_all(&ids.iter().map(|id| event(id, 100, 1)).collect::<Vec<_>>());
        // Leased under clocks that were an hour, eight days and ten years ahead, by workers that are gone.
        for (id, hours) in ids.iter().zip([1, 8 * 24, 3_653 * 24]) {
            let later = format!(
                "UPDATE sagas SET next_attempt_at_us = next_attempt_at_us + {hours} * 3600000000 WHERE claim_id = '{id}'"
            );
            database.write(|c| execute(c, &later)).expect("writes");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, answered) = channel();
        let dispatcher = Dispatcher::new(Arc::new(Approving::default()), runtime.handle().clone(), &patient, answers);
        let writer = AnswerWriter::start(instance.executor.clone(), dispatcher.clone(), answered, &patient.saga, Worker::idle());
        let resuming = start_resuming(instance.executor.clone(), dispatcher, &patient.saga, Worker::idle());
        wait_until("all are settled", || ids.iter().all(|id| instance.saga(id).saga.state() == State::Settled));
        resuming.stop();
        writer.drain(Duration::from_secs(1));
        for query in instance.executor.due_times().queries() {
            assert_uses_index(database, &query, "sagas_next_attempt");
        }
    }

    /// What waits for a gateway that answers nothing would wait for all the time that a stop may take.
    fn a_stop_does_not_wait_for_a_gateway_that_is_not_there(database: &Database) {
        let mut patient = one_call_at_once();
        patient.saga.lease_ms = 600_000;
        patient.gateway.url = "http://127.0.0.1:1".to_owned();
        let instance = Instance::with_settings(database, "one", patient.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
        let (answers, answered) = channel();
        let refused = Arc::new(KeyedJsonGateway::new(&patient.gateway).expect("a client"));
        let dispatcher = Dispatcher::new(refused, runtime.handle().clone(), &patient, answers);
        let writer = AnswerWriter::start(instance.executor.clone(), dispatcher.clone(), answered, &patient.saga, Worker::idle());
        let events: Vec<_> = (0..CLAIMS).map(|n| event(&format!("claim{n:017}"), 100, 1)).collect();
        dispatcher.dispatch(instance.hear_all(&events));
        wait_until("calls pause, and are not made again and again", || {
            dispatcher.concurrency().pause_left_us >= 200_000
        });
        let began = Instant::now();
        writer.drain(Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert!(dispatcher.in_flight() > 0, "they are left to others");
    }
}
