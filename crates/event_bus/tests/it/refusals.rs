//! What a real Kafka refuses for want of an ACL: the worker is not ready, with the broker's reason, there is one readable line
//! when it begins and one when it ends, and nothing is lost. `scripts/services.sh` runs the Kafka, and changes the rights of its
//! user `restricted`.

use crate::bus::{Recorder, outgoing, publish, settings_for};
use crate::logged;
use crate::security::{migrated, settings_of};
use dual_db::Database;
use event_bus::{Consumer, KafkaSettings, OutgoingMessage, Relay, SaslMechanism, pending_in_outbox};
use std::sync::Arc;
use std::time::{Duration, Instant};
use test_support::kafka::services;
use test_support::{on_kafka, unique, wait_until};
use tracing::Level;
use worker_threads::{Worker, WorkerState};

/// Within this time, a refusal shows.
const SHOWS_WITHIN: Duration = Duration::from_secs(10);
/// As a service has it by default.
const BOUND: Duration = Duration::from_secs(6);

/// Settings of the user without rights.
fn restricted(group: &str) -> KafkaSettings {
    let mut settings = settings_of("sasl_plaintext");
    settings.security.sasl_mechanism = SaslMechanism::Plain;
    settings.security.sasl_username = "restricted".to_owned();
    settings.consumer.group_id = group.to_owned();
    // Not what a lost right is noticed by.
    settings.consumer.session_timeout_ms = 30_000;
    settings
}

fn rights(change: &str, kind: &str, name: &str, operations: &[&str]) {
    services(&[&["acl", "kafka", change, kind, name], operations].concat());
}

/// A relay of a user with every right, and a new topic.
fn unrestricted(database: &Database) -> (Arc<Relay>, String) {
    let settings = settings_for(&services(&["env", "kafka"]), &unique("unrestricted"));
    let relay = Relay::start(database, &settings).unwrap();
    let topic = unique("refusals");
    wait_until("the topic is there", || relay.check(&[&topic], Duration::from_secs(5)).is_ok());
    (relay, topic)
}

fn messages(topic: &str, numbers: std::ops::Range<usize>) -> Vec<OutgoingMessage> {
    numbers.map(|n| OutgoingMessage { topic: topic.to_owned(), ..outgoing(n) }).collect()
}

fn is_ready(worker: &Worker) -> bool {
    worker.state(BOUND) == WorkerState::Ready
}

/// Waits until the worker fails for this reason, which must be soon.
fn fails_for(worker: &Worker, reason: &str) {
    let since = Instant::now();
    wait_until(reason, || matches!(worker.state(BOUND), WorkerState::Failed(why) if why.contains(reason)));
    assert!(since.elapsed() < SHOWS_WITHIN, "after {:?}", since.elapsed());
}

/// One line when the refusal of `operation` began, and one when it ended.
fn assert_logged(operation: &str) {
    let lines: Vec<_> = logged::lines(|line| line.text.contains(operation));
    let texts: Vec<_> = lines.iter().map(|line| (line.level, line.text.clone())).collect();
    let [(Level::WARN, begins), (Level::INFO, ends)] = &texts[..] else { panic!("{texts:?}") };
    assert!(begins.contains("kafka refuses: ") && begins.contains("restricted"), "{begins}");
    assert!(begins.contains("kafka.security.sasl_username"), "{begins}");
    assert!(ends.contains("kafka no longer refuses"), "{ends}");
}

/// Starts a consumer with its rights, takes one from it and gives it back.
fn takes_a_consumers_right(kind: &str, operation: impl Fn(&str, &str) -> String) {
    logged::watch();
    let test = migrated();
    let (relay, topic) = unrestricted(test.database());
    let settings = restricted(&unique("refused_group"));
    let group = &settings.consumer.group_id;
    let name = if kind == "group" { group } else { &topic };
    rights("add", "topic", &topic, &["Read", "Describe"]);
    rights("add", "group", group, &["Read"]);
    let recorder = Recorder::new();
    let consumer = Consumer::start(&settings, &topic, test.database().clone(), recorder.clone()).unwrap();
    let worker = consumer.worker();
    publish(&relay, &messages(&topic, 0..20));
    recorder.wait_for(20);
    wait_until("the consumer is ready", || is_ready(&worker));

    rights("remove", kind, name, &["Read"]);
    let operation = operation(&topic, group);
    fails_for(&worker, &operation);
    publish(&relay, &messages(&topic, 20..40));
    rights("add", kind, name, &["Read"]);
    recorder.wait_for(40);
    wait_until("the consumer is ready again", || is_ready(&worker));
    let mut bodies = recorder.bodies();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 40, "nothing is lost");
    assert_logged(&operation);
    consumer.stop().unwrap();
    relay.stop();
}

on_kafka! {
    #[test]
    fn a_member_that_loses_its_right_to_the_group_is_not_ready_until_it_has_it_again_on_kafka() {
        takes_a_consumers_right("group", |_, group| format!("Read on the group {group}"));
    }

    #[test]
    fn a_consumer_that_loses_its_right_to_read_is_not_ready_until_it_has_it_again_on_kafka() {
        takes_a_consumers_right("topic", |topic, _| format!("Read on the topic {topic}"));
    }

    #[test]
    fn a_consumer_without_rights_at_its_start_is_not_ready_until_it_has_them_on_kafka() {
        logged::watch();
        let test = migrated();
        let (relay, topic) = unrestricted(test.database());
        publish(&relay, &messages(&topic, 0..20));
        let settings = restricted(&unique("refused_group"));
        let recorder = Recorder::new();
        let consumer = Consumer::start(&settings, &topic, test.database().clone(), recorder.clone()).unwrap();
        let operation = format!("Read on the group {}", settings.consumer.group_id);
        fails_for(&consumer.worker(), &operation);
        rights("add", "group", &settings.consumer.group_id, &["Read"]);
        rights("add", "topic", &topic, &["Read"]);
        recorder.wait_for(20);
        wait_until("the consumer is ready", || is_ready(&consumer.worker()));
        assert_logged(&operation);
        consumer.stop().unwrap();
        relay.stop();
    }

    #[test]
    fn a_relay_that_loses_its_right_to_write_is_not_ready_until_it_has_it_again_on_kafka() {
        logged::watch();
        let test = migrated();
        let database = test.database();
        let (reader, topic) = unrestricted(migrated().database());
        let recorder = Recorder::new();
        let reading = settings_for(&services(&["env", "kafka"]), &unique("reads"));
        let consumer = Consumer::start(&reading, &topic, database.clone(), recorder.clone()).unwrap();
        rights("add", "topic", &topic, &["Write", "Describe"]);
        let mut settings = restricted(&unique("writes"));
        settings.producer.delivery_timeout_ms = 1_000;
        let relay = Relay::start(database, &settings).unwrap();
        assert!(is_ready(&relay.worker()), "it has nothing to do");
        publish(&relay, &messages(&topic, 0..20));
        recorder.wait_for(20);

        rights("remove", "topic", &topic, &["Write"]);
        publish(&relay, &messages(&topic, 20..40));
        let operation = format!("Write on the topic {topic}");
        fails_for(&relay.worker(), &operation);
        rights("add", "topic", &topic, &["Write"]);
        recorder.wait_for(40);
        wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
        wait_until("the relay is ready again", || is_ready(&relay.worker()));
        assert_logged(&operation);
        consumer.stop().unwrap();
        relay.stop();
        reader.stop();
    }
}
