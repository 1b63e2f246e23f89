//! What the consumer and the relay report of their work while the database or Kafka does not take it.

use crate::bus::{Broker, Recorder, TOPIC, outgoing, publish, settings_for};
use crate::security::migrated;
use event_bus::{Consumer, Relay};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use test_support::{free_address, wait_until};
use worker_threads::{Worker, WorkerState};

const BOUND: Duration = Duration::from_secs(1);

fn is_ready(worker: &Worker) -> bool {
    worker.state(BOUND) == WorkerState::Ready
}

/// Waits until the worker has reported nothing for longer than its bound, while it waits for this.
fn waits_too_long_for(worker: &Worker, awaited: &str) {
    wait_until(
        awaited,
        || matches!(worker.state(BOUND), WorkerState::NoNews { waits_for, .. } if waits_for == awaited),
    );
}

#[test]
fn a_consumer_whose_messages_are_not_applied_is_not_ready_until_they_are() {
    let test = migrated();
    let broker = Broker::start();
    let down = Arc::new(AtomicBool::new(true));
    let recorder = Recorder::that({
        let down = Arc::clone(&down);
        move |_| if down.load(Ordering::SeqCst) { Err(dual_db::Error::Unavailable("gone".to_owned())) } else { Ok(()) }
    });
    let settings = broker.settings("group");
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    let worker = consumer.worker();
    assert_eq!(worker.state(BOUND).to_string(), "not reached yet");
    wait_until("it is a member of its group", || is_ready(&worker));
    broker.send([("key", "message".to_owned())]);
    waits_too_long_for(&worker, "its messages to be applied");
    down.store(false, Ordering::SeqCst);
    recorder.wait_for(1);
    wait_until("it is ready again", || is_ready(&worker));
    drop(broker);
    waits_too_long_for(&worker, "its place in the consumer group");
    consumer.stop().unwrap();
}

#[test]
fn a_member_without_partitions_is_ready() {
    let test = migrated();
    let broker = Broker::start();
    let settings = broker.settings("group");
    let start = || Consumer::start(&settings, TOPIC, test.database().clone(), Recorder::new()).unwrap();
    // The topic has twelve partitions.
    let consumers: Vec<Consumer> = (0..13).map(|_| start()).collect();
    wait_until("all are ready", || consumers.iter().all(|consumer| is_ready(&consumer.worker())));
    consumers.into_iter().for_each(|consumer| consumer.stop().unwrap());
}

#[test]
fn a_relay_whose_events_are_not_acknowledged_is_not_ready_until_they_are() {
    let test = migrated();
    let address = free_address().to_string();
    let mut settings = settings_for(&address, "group");
    settings.producer.delivery_timeout_ms = 2_000;
    let relay = Relay::start(test.database(), &settings).unwrap();
    let worker = relay.worker();
    assert!(is_ready(&worker), "it has nothing to do");
    publish(&relay, &[outgoing(1)]);
    waits_too_long_for(&worker, "Kafka to acknowledge events");
    let given_up = |state| matches!(state, WorkerState::Failed(why) if why.contains("does not acknowledge"));
    wait_until("the event is given up for now", || given_up(worker.state(Duration::from_secs(60))));
    let broker = Broker::start_at(&address);
    assert_eq!(broker.seen(1).len(), 1);
    wait_until("the relay is ready again", || is_ready(&worker));
    relay.stop();
}

#[test]
fn a_relay_is_ready_again_when_another_instance_has_published_its_events() {
    let test = migrated();
    let mut settings = settings_for(&free_address().to_string(), "group");
    settings.producer.delivery_timeout_ms = 100;
    let relay = Relay::start(test.database(), &settings).unwrap();
    publish(&relay, &[outgoing(1)]);
    let worker = relay.worker();
    wait_until("the event is given up for now", || worker.has_failed());
    let broker = Broker::start();
    let other = Relay::start(test.database(), &broker.settings("group")).unwrap();
    assert_eq!(broker.seen(1).len(), 1);
    wait_until("the relay is ready again", || is_ready(&worker));
    other.stop();
    relay.stop();
}
