//! An event that can never be published: it becomes a dead letter, once, and holds up no other.

use crate::bus::{Broker, TOPIC, bodies, outgoing, publish, settings_for};
use dual_db::Database;
use event_bus::{
    DeadLetterAction, DeadLetterState, Disposition, KafkaSettings, KeptDeadLetter, MIGRATIONS, OutgoingMessage, Relay,
    discard_dead_letter, find_dead_letter, list_dead_letters, pending_in_outbox, redrive_dead_letter,
};
use rdkafka::bindings::rd_kafka_resp_err_t::{RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::collections::BTreeSet;
use test_support::{OutboxMessage, leave_in_outbox, on_both_databases, wait_until};

fn letters(database: &Database) -> Vec<KeptDeadLetter> {
    database.read(|c| list_dead_letters(c, None, None, 100)).unwrap()
}

fn body_of(database: &Database, letter: &KeptDeadLetter) -> String {
    String::from_utf8(database.read(|c| find_dead_letter(c, letter.id)).unwrap().unwrap().1).unwrap()
}

fn outbox_empties(database: &Database) {
    wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
}

fn large(n: usize) -> OutgoingMessage {
    OutgoingMessage { body: format!("{}{n}", "x".repeat(5_000)), ..outgoing(n) }
}

/// Settings for a broker that refuses the next batches, each with the given error.
fn refusing(
    cluster: &MockCluster<'_, rdkafka::producer::DefaultProducerContext>,
    errors: &[RDKafkaRespErr],
) -> KafkaSettings {
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, errors);
    let mut settings = settings_for(&cluster.bootstrap_servers(), "group");
    // One batch for all that is committed together.
    settings.producer.linger_ms = 200;
    settings
}

on_both_databases! {
    fn headers_that_cannot_be_read_make_a_dead_letter_of_their_event_and_of_no_other(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let left = |event_id: &str, headers: &str, body: &str| OutboxMessage {
            event_id: event_id.to_owned(),
            topic: TOPIC.to_owned(),
            message_key: "key".to_owned(),
            headers: headers.to_owned(),
            body: body.to_owned(),
        };
        let rows = [
            left("torn", "[[\"ce_id\",", "torn"),
            left("a NUL", r#"[["ce\u0000id","value"]]"#, "a NUL"),
            left("good", r#"[["ce_id","good"]]"#, "good"),
        ];
        database.write(|c| rows.iter().try_for_each(|row| leave_in_outbox(c, row, 1))).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.producer.delivery_timeout_ms = 100;
        let relay = Relay::start(database, &settings).unwrap();
        assert_eq!(bodies(&broker.seen(1)), ["good"]);
        outbox_empties(database);
        let kept = letters(database);
        assert_eq!(kept.len(), 2);
        for (letter, row) in kept.iter().zip([&rows[1], &rows[0]]) {
            assert_eq!((letter.event_id.as_ref(), &letter.headers), (Some(&row.event_id), &row.headers));
            assert_eq!((letter.topic.as_str(), letter.message_key.as_deref()), (TOPIC, Some(&b"key"[..])));
            assert_eq!((letter.state.as_str(), letter.partition, body_of(database, letter)), ("waiting", -1, row.body.clone()));
            assert!(letter.reason.contains("headers"), "{letter:?}");
        }
        relay.stop();
    }

    fn what_is_too_large_is_set_aside_once_and_sent_when_it_may_be(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.max_message_bytes = 1_000;
        let relay = Relay::start(database, &settings).unwrap();
        // Published again and again, as it is while it has no outcome; the last time with another body.
        for message in [large(1), large(1), OutgoingMessage { body: "y".repeat(6_000), ..large(1) }] {
            publish(&relay, &[outgoing(0), message, outgoing(2)]);
            assert_eq!(broker.seen(2).len(), 2);
            outbox_empties(database);
        }
        let [letter] = &letters(database)[..] else { panic!("it is set aside once") };
        assert_eq!((letter.event_id.as_deref(), body_of(database, letter)), (Some("event-1"), "y".repeat(6_000)));
        assert!(letter.reason.contains("kafka.max_message_bytes"), "{}", letter.reason);
        let act = DeadLetterAction::default();
        let too_soon = relay.commit(|c, publications| redrive_dead_letter(c, publications, letter.id, &act)).unwrap();
        assert!(matches!(too_soon, Disposition::Unsendable(_)), "{too_soon:?}");
        relay.stop();

        settings.max_message_bytes = 10_000;
        let relay = Relay::start(database, &settings).unwrap();
        let end = relay.commit(|c, publications| redrive_dead_letter(c, publications, letter.id, &act)).unwrap();
        assert!(matches!(end, Disposition::Done(_)), "{end:?}");
        assert_eq!(bodies(&broker.seen(1)), ["y".repeat(6_000)]);
        outbox_empties(database);
        relay.stop();

        // What was redriven and is refused again waits again; what was discarded stays so.
        settings.max_message_bytes = 1_000;
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, &[large(1)]);
        wait_until("it is set aside anew", || letters(database).len() == 2);
        let newest = letters(database)[0].id;
        database.write(|c| discard_dead_letter(c, newest, &act, 9)).unwrap();
        publish(&relay, &[large(1)]);
        outbox_empties(database);
        let states: Vec<String> = letters(database).into_iter().map(|letter| letter.state).collect();
        assert_eq!(states, [DeadLetterState::Discarded.name(), DeadLetterState::Redriven.name()]);
        relay.stop();
    }

    fn what_a_broker_refuses_alone_is_set_aside_and_what_it_refused_with_it_arrives(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let cluster = MockCluster::new(1).unwrap();
        // The batch of all three, and then the first that is sent alone.
        let settings = refusing(&cluster, &[RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 2]);
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, &[outgoing(0), outgoing(1), outgoing(2)]);
        outbox_empties(database);
        let [letter] = &letters(database)[..] else { panic!("{:?}", letters(database)) };
        assert!(letter.reason.contains("Kafka refuses it"), "{}", letter.reason);
        let arrived: BTreeSet<String> = crate::bus::arrived(&settings, TOPIC, 2).into_iter().collect();
        let mut all = arrived.clone();
        all.insert(body_of(database, letter));
        assert_eq!((arrived.len(), all), (2, (0..3).map(|n| outgoing(n).body).collect()));
        relay.stop();
    }

    fn a_batch_that_is_refused_for_one_of_it_costs_the_others_nothing(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let cluster = MockCluster::new(1).unwrap();
        let settings = refusing(&cluster, &[RD_KAFKA_RESP_ERR_INVALID_RECORD]);
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, &[outgoing(0), outgoing(1)]);
        outbox_empties(database);
        assert!(letters(database).is_empty(), "{:?}", letters(database));
        assert_eq!(crate::bus::arrived(&settings, TOPIC, 2).len(), 2);
        relay.stop();
    }
}
