//! The relay: committed messages are delivered eventually, whatever fails, and the rows of delivered messages are deleted.

use crate::bus::{self, Broker, TOPIC, bodies, headers, outgoing, settings_for, text};
use dual_db::{Database, Error};
use event_bus::{BeforePublish, MIGRATIONS, OutboxRow, OutgoingMessage, Relay, pending_in_outbox};
use rdkafka::Message;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use test_support::{
    OutboxMessage, allow, count, execute, fail_commits, forbid, free_address, leave_in_outbox, let_commits_succeed,
    number, on_both_databases, wait_until,
};

/// Publishes the messages `numbers`.
fn publish(relay: &Relay, numbers: std::ops::Range<usize>) {
    let messages: Vec<OutgoingMessage> = numbers.map(outgoing).collect();
    bus::publish(relay, &messages);
}

/// A message as the outbox holds it.
fn left_behind(message: OutgoingMessage) -> OutboxMessage {
    OutboxMessage {
        event_id: message.event_id,
        topic: message.topic,
        message_key: message.key,
        headers: serde_json::to_string(&message.headers).unwrap(),
        body: message.body,
    }
}

/// Panics between the COMMIT and the producer at the first row with this key.
struct CrashAt(&'static str, AtomicBool);

impl BeforePublish for CrashAt {
    fn before_publish(&self, rows: &[OutboxRow]) {
        let crashes = rows.iter().any(|row| row.message_key == self.0) && !self.1.swap(true, Ordering::SeqCst);
        assert!(!crashes, "a crash");
    }
}

fn outbox_empties(database: &Database) {
    wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
}

fn expected(numbers: std::ops::Range<usize>) -> BTreeSet<String> {
    numbers.map(|n| outgoing(n).body).collect()
}

on_both_databases! {
    fn published_messages_arrive_unchanged_and_their_rows_are_deleted(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        publish(&relay, 0..2_500);
        let seen = broker.seen(2_500);
        assert_eq!(bodies(&seen).into_iter().collect::<BTreeSet<_>>(), expected(0..2_500));
        for message in &seen {
            let key = text(message.key());
            let sent = outgoing(key.strip_prefix("key-").unwrap().parse().unwrap());
            assert_eq!((text(message.payload()), headers(message)), (sent.body, sent.headers));
        }
        // Another client chooses the same partition for a key as the relay.
        let sample: Vec<String> = seen.iter().take(50).map(|message| text(message.key())).collect();
        broker.send(sample.iter().map(|key| (key.as_str(), String::new())));
        for from_outside in broker.seen(50) {
            let by_relay = seen.iter().find(|message| message.key() == from_outside.key()).unwrap();
            assert_eq!(by_relay.partition(), from_outside.partition());
        }
        outbox_empties(database);
        assert!(broker.seen_now().is_none(), "each is sent once");
        relay.stop();
    }

    fn an_unpublished_row_is_swept_when_its_grace_is_over(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        // Long enough for the delivery on a busy machine: the sweeper also sends rows whose delivery timed out.
        settings.producer.delivery_timeout_ms = 5_000;
        let relay = Relay::start_with(database, &settings, Some(Arc::new(CrashAt("key-2", AtomicBool::default()))), None).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| publish(&relay, 1..3))).is_err(), "it crashes before it publishes");
        let due_us = number(database, "SELECT MAX(send_after_us) AS n FROM outbox");
        // The sweeper ignores rows within their grace.
        publish(&relay, 0..1);
        assert_eq!(bodies(&broker.seen(1)), [outgoing(0).body]);
        let swept = broker.seen(2);
        let now_us = database.read(|connection| connection.now_us()).unwrap();
        assert!(now_us >= due_us, "{} µs too early", due_us - now_us);
        assert_eq!(bodies(&swept).into_iter().collect::<BTreeSet<_>>(), expected(1..3));
        outbox_empties(database);
        assert!(broker.seen_now().is_none());
        relay.stop();
    }

    fn messages_of_a_rolled_back_transaction_are_not_sent(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        let failed: dual_db::Result<()> = relay.commit(|_, publications| {
            publications.publish([outgoing(1)]);
            Err(Error::Query(diesel::result::Error::RollbackTransaction))
        });
        assert!(failed.is_err());
        publish(&relay, 2..3);
        assert_eq!(bodies(&broker.seen(1)), [outgoing(2).body]);
        outbox_empties(database);
        relay.stop();
        assert!(broker.seen_now().is_none());
    }

    fn messages_of_a_failed_commit_are_not_sent(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        // One key, and so one partition: had the first been sent, it would arrive before the second.
        let [lost, kept] = ["lost", "kept"].map(|body| OutgoingMessage { body: body.to_owned(), ..outgoing(1) });
        fail_commits(database, "outbox", "true");
        let mut runs = 0;
        let failed = relay.commit(|_, publications| {
            publications.publish([lost.clone()]);
            runs += 1;
            Ok(())
        });
        assert_eq!((runs, failed.is_err()), (1, true), "the transaction ran, and its commit fails");
        let_commits_succeed(database, "outbox");
        bus::publish(&relay, &[kept]);
        assert_eq!(bodies(&broker.seen(1)), ["kept"]);
        outbox_empties(database);
        relay.stop();
    }

    fn messages_that_do_not_fit_the_queue_are_left_to_the_sweeper(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let address = free_address().to_string();
        let mut settings = settings_for(&address, "group");
        settings.producer.max_queued_messages = 10;
        settings.producer.delivery_timeout_ms = 300;
        let relay = Relay::start(database, &settings).unwrap();
        let began = Instant::now();
        publish(&relay, 0..100);
        assert!(began.elapsed() < Duration::from_secs(20), "a commit does not wait for Kafka: {:?}", began.elapsed());
        let broker = Broker::start_at(&address);
        let mut seen = BTreeSet::new();
        wait_until("all hundred arrive", || {
            seen.extend(broker.seen_now().map(|message| text(message.payload())));
            seen.len() == 100
        });
        assert_eq!(seen, expected(0..100));
        outbox_empties(database);
        relay.stop();
    }

    fn a_stop_waits_for_deliveries_and_deletes_their_rows(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.outbox.delete_linger_ms = 60_000;
        settings.producer.linger_ms = 300;
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, 0..500);
        let began = Instant::now();
        relay.stop();
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert_eq!(database.read(pending_in_outbox).unwrap(), 0);
        assert_eq!(broker.seen(500).len(), 500);
    }

    fn a_stop_without_kafka_is_bounded_and_the_next_start_sends(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let address = free_address().to_string();
        let mut settings = settings_for(&address, "group");
        settings.producer.flush_timeout_ms = 200;
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, 0..20);
        let error = relay.check(&[TOPIC], Duration::from_millis(200)).unwrap_err();
        assert!(error.contains("check the setting kafka.brokers"), "{error}");
        let began = Instant::now();
        relay.stop();
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert_eq!(database.read(pending_in_outbox).unwrap(), 20);

        let broker = Broker::start_at(&address);
        database.write(|c| execute(c, "UPDATE outbox SET send_after_us = 1")).unwrap();
        let relay = Relay::start(database, &settings).unwrap();
        assert_eq!(bodies(&broker.seen(20)).into_iter().collect::<BTreeSet<_>>(), expected(0..20));
        outbox_empties(database);
        relay.stop();
    }

    fn what_was_left_behind_under_a_clock_that_was_ahead_is_sent_at_once(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let now_us = database.read(|c| c.now_us()).unwrap();
        let day_us = 24 * 3_600_000_000_i64;
        // An hour, eight days and ten years.
        for (n, ahead_us) in [(0, day_us / 24), (1, 8 * day_us), (2, 3_653 * day_us)] {
            database.write(|c| leave_in_outbox(c, &left_behind(outgoing(n)), now_us + ahead_us)).unwrap();
        }
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        assert_eq!(bodies(&broker.seen(3)).into_iter().collect::<BTreeSet<_>>(), expected(0..3));
        outbox_empties(database);
        relay.stop();
    }

    fn two_instances_sweep_side_by_side_and_send_each_once(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        database.write(|c| (0..600).try_for_each(|n| leave_in_outbox(c, &left_behind(outgoing(n)), 1))).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.outbox.sweep_batch = 7;
        let relays = [Relay::start(database, &settings).unwrap(), Relay::start(database, &settings).unwrap()];
        let seen = broker.seen(600);
        assert_eq!(bodies(&seen).into_iter().collect::<BTreeSet<_>>(), expected(0..600));
        outbox_empties(database);
        for relay in relays {
            relay.stop();
        }
        assert!(broker.seen_now().is_none(), "one sweeper does not take the rows of the other");
    }

    fn a_row_that_could_not_be_deleted_is_sent_again_and_deleted_later(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.producer.delivery_timeout_ms = 100;
        let relay = Relay::start(database, &settings).unwrap();
        forbid(database, "DELETE", "outbox");
        publish(&relay, 0..1);
        assert_eq!(broker.seen(2).len(), 2, "it is sent again while its row exists");
        allow(database, "outbox");
        outbox_empties(database);
        relay.stop();
    }

    fn an_unpublishable_message_does_not_delay_the_others(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.max_message_bytes = 1_000;
        let relay = Relay::start(database, &settings).unwrap();
        let too_large = OutgoingMessage { body: "x".repeat(5_000), ..outgoing(1) };
        bus::publish(&relay, &[outgoing(0), too_large.clone(), outgoing(2)]);
        assert_eq!(
            bodies(&broker.seen(2)).into_iter().collect::<BTreeSet<_>>(),
            BTreeSet::from([outgoing(0).body, outgoing(2).body])
        );
        outbox_empties(database);
        assert_eq!(count(database, "dead_letters WHERE event_id = 'event-1'"), 1, "it is dead-lettered");
        relay.stop();
    }
}

#[test]
fn topics_are_checked_and_never_altered() {
    let test = test_support::TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Broker::start();
    let mut settings = broker.settings("group");
    let relay = Relay::start(test.database(), &settings).unwrap();
    assert_eq!(relay.check(&[TOPIC], Duration::from_secs(2)), Ok(()));
    relay.stop();
    settings.topics.partitions = 24;
    let relay = Relay::start(test.database(), &settings).unwrap();
    let error = relay.check(&[TOPIC], Duration::from_secs(2)).unwrap_err();
    for named in [TOPIC, "12 partitions", "kafka.topics.partitions says 24", "never altered"] {
        assert!(error.contains(named), "{named} in {error}");
    }
    relay.stop();
}
