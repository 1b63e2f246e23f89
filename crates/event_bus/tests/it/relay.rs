//! The way out: what is committed is sent, in the end and whatever happens, and what was sent is not kept.

use crate::bus::{Broker, TOPIC, bodies, headers, outgoing, settings_for, text};
use dual_db::{Database, Error};
use event_bus::{MIGRATIONS, OutboxRow, OutgoingMessage, Relay, insert_into_outbox, pending_in_outbox};
use rdkafka::Message;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use test_support::{
    allow, count, execute, fail_commits, forbid, free_address, let_commits_succeed, number, on_both_databases,
    wait_until,
};

/// Commits messages `numbers` to the outbox.
fn enqueue(relay: &Relay, database: &Database, numbers: std::ops::Range<usize>) -> Vec<OutboxRow> {
    let messages: Vec<OutgoingMessage> = numbers.map(outgoing).collect();
    let rows = database.write(|connection| {
        let now_us = connection.now_us()?;
        relay.enqueue(connection, &messages, now_us)
    });
    rows.expect("they are committed")
}

fn outbox_empties(database: &Database) {
    wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
}

fn expected(numbers: std::ops::Range<usize>) -> BTreeSet<String> {
    numbers.map(|n| outgoing(n).body).collect()
}

on_both_databases! {
    fn what_is_handed_off_arrives_as_it_is_and_its_rows_go(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        let rows = enqueue(&relay, database, 0..2_500);
        assert_eq!(rows.len(), 2_500);
        relay.hand_off(&rows);
        let seen = broker.seen(2_500);
        assert_eq!(bodies(&seen).into_iter().collect::<BTreeSet<_>>(), expected(0..2_500));
        for message in &seen {
            let key = text(message.key());
            let sent = outgoing(key.strip_prefix("key-").unwrap().parse().unwrap());
            assert_eq!((text(message.payload()), headers(message)), (sent.body, sent.headers));
        }
        // Every client library puts a key where the relay puts it.
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

    fn what_was_never_handed_off_is_swept_when_its_grace_is_over(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        // Long enough for the delivery on a machine under load: one that was given up would be swept, too.
        settings.producer.delivery_timeout_ms = 5_000;
        let relay = Relay::start(database, &settings).unwrap();
        let rows = enqueue(&relay, database, 0..3);
        let due_us = number(database, "SELECT MAX(send_after_us) AS n FROM outbox");
        // What is handed off in time is not taken for what was left behind.
        relay.hand_off(&rows[..1]);
        assert_eq!(bodies(&broker.seen(1)), [outgoing(0).body]);
        let swept = broker.seen(2);
        let now_us = database.read(|connection| connection.now_us()).unwrap();
        assert!(now_us >= due_us, "{} µs too early", due_us - now_us);
        assert_eq!(bodies(&swept).into_iter().collect::<BTreeSet<_>>(), expected(1..3));
        outbox_empties(database);
        assert!(broker.seen_now().is_none());
        relay.stop();
    }

    fn what_was_rolled_back_is_not_sent(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        let failed: dual_db::Result<()> = database.write(|connection| {
            let now_us = connection.now_us()?;
            relay.enqueue(connection, &[outgoing(1)], now_us - 60_000_000)?;
            Err(Error::Query(diesel::result::Error::RollbackTransaction))
        });
        assert!(failed.is_err());
        relay.hand_off(&enqueue(&relay, database, 2..3));
        assert_eq!(bodies(&broker.seen(1)), [outgoing(2).body]);
        outbox_empties(database);
        relay.stop();
        assert!(broker.seen_now().is_none());
    }

    fn what_a_failed_commit_wrote_is_not_sent(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        // One key, and so one partition: had the first been sent, it would arrive before the second.
        let [lost, kept] = ["lost", "kept"].map(|body| OutgoingMessage { body: body.to_owned(), ..outgoing(1) });
        fail_commits(database, "outbox", "true");
        let mut written = 0;
        let failed = database.write(|connection| {
            let now_us = connection.now_us()?;
            written = relay.enqueue(connection, std::slice::from_ref(&lost), now_us)?.len();
            Ok(())
        });
        assert_eq!((written, failed.is_err()), (1, true), "the row was written, and its commit fails");
        let_commits_succeed(database, "outbox");
        let rows = database.write(|connection| {
            let now_us = connection.now_us()?;
            relay.enqueue(connection, std::slice::from_ref(&kept), now_us)
        });
        relay.hand_off(&rows.unwrap());
        assert_eq!(bodies(&broker.seen(1)), ["kept"]);
        outbox_empties(database);
        relay.stop();
    }

    fn what_does_not_fit_the_queue_is_left_to_the_sweeper(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let address = free_address().to_string();
        let mut settings = settings_for(&address, "group");
        settings.producer.max_queued_messages = 10;
        settings.producer.delivery_timeout_ms = 300;
        let relay = Relay::start(database, &settings).unwrap();
        let rows = enqueue(&relay, database, 0..100);
        let began = Instant::now();
        relay.hand_off(&rows);
        assert!(began.elapsed() < Duration::from_secs(20), "a hand-off waits for nobody: {:?}", began.elapsed());
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

    fn a_stop_waits_for_what_is_on_its_way_and_deletes_it(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.outbox.delete_linger_ms = 60_000;
        settings.producer.linger_ms = 300;
        let relay = Relay::start(database, &settings).unwrap();
        relay.hand_off(&enqueue(&relay, database, 0..500));
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
        settings.health_interval_ms = 200;
        let relay = Relay::start(database, &settings).unwrap();
        relay.hand_off(&enqueue(&relay, database, 0..20));
        let said = relay.check(&[TOPIC]).unwrap_err();
        assert!(said.contains("check the setting kafka.brokers"), "{said}");
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

    fn two_instances_sweep_side_by_side_and_send_each_once(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let messages: Vec<OutgoingMessage> = (0..600).map(outgoing).collect();
        database.write(|connection| insert_into_outbox(connection, &messages, 1, 0)).unwrap();
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
        assert!(broker.seen_now().is_none(), "a row that one has taken is not the other's");
    }

    fn what_could_not_be_deleted_is_sent_again_and_deleted_then(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.producer.delivery_timeout_ms = 100;
        let relay = Relay::start(database, &settings).unwrap();
        forbid(database, "DELETE", "outbox");
        relay.hand_off(&enqueue(&relay, database, 0..1));
        assert_eq!(broker.seen(2).len(), 2, "it is sent again as long as its row is there");
        allow(database, "outbox");
        outbox_empties(database);
        relay.stop();
    }

    fn a_message_that_can_never_be_sent_does_not_hold_up_the_others(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.max_message_bytes = 1_000;
        let relay = Relay::start(database, &settings).unwrap();
        let too_large = OutgoingMessage { body: "x".repeat(5_000), ..outgoing(1) };
        let rows = database
            .write(|connection| {
                let now_us = connection.now_us()?;
                relay.enqueue(connection, &[outgoing(0), too_large.clone(), outgoing(2)], now_us)
            })
            .unwrap();
        relay.hand_off(&rows);
        assert_eq!(
            bodies(&broker.seen(2)).into_iter().collect::<BTreeSet<_>>(),
            BTreeSet::from([outgoing(0).body, outgoing(2).body])
        );
        wait_until("the others' rows are gone", || count(database, "outbox") == 1);
        assert_eq!(count(database, "outbox WHERE event_id = 'event-1'"), 1, "it is kept for whoever looks into it");
        relay.stop();
    }
}

#[test]
fn topics_are_looked_for_and_never_altered() {
    let test = test_support::TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Broker::start();
    let mut settings = broker.settings("group");
    let relay = Relay::start(test.database(), &settings).unwrap();
    assert_eq!(relay.check(&[TOPIC]), Ok(()));
    relay.stop();
    settings.topics.partitions = 24;
    let relay = Relay::start(test.database(), &settings).unwrap();
    let said = relay.check(&[TOPIC]).unwrap_err();
    for named in [TOPIC, "12 partitions", "kafka.topics.partitions says 24", "never altered"] {
        assert!(said.contains(named), "{named} in {said}");
    }
    relay.stop();
}
