//! An event that can never be published becomes one dead letter, and delays no other event. One test needs the Kafka of
//! `scripts/services.sh`.

use crate::bus::{Broker, TOPIC, bodies, outgoing, publish, settings_for};
use dual_db::Database;
use event_bus::{
    DeadLetterAction, DeadLetterState, Disposition, KafkaSettings, KeptDeadLetter, MIGRATIONS, OutgoingMessage, Relay,
    discard_dead_letter, find_dead_letter, list_dead_letters, pending_in_outbox, redrive_dead_letter,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::bindings::rd_kafka_resp_err_t::{RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use test_support::kafka::brokers_of_services;
use test_support::{OutboxMessage, leave_in_outbox, on_both_databases, on_kafka, unique, wait_until};

fn dead_letters(database: &Database) -> Vec<KeptDeadLetter> {
    database.read(|c| list_dead_letters(c, None, None, 100)).unwrap()
}

fn body_of(database: &Database, dead_letter: &KeptDeadLetter) -> String {
    String::from_utf8(database.read(|c| find_dead_letter(c, dead_letter.id)).unwrap().unwrap().1).unwrap()
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
    fn an_event_with_unreadable_headers_is_dead_lettered_and_the_others_are_published(database: &Database) {
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
        let stored = dead_letters(database);
        assert_eq!(stored.len(), 2);
        for (dead_letter, row) in stored.iter().zip([&rows[1], &rows[0]]) {
            assert_eq!((dead_letter.event_id.as_ref(), &dead_letter.headers), (Some(&row.event_id), &row.headers));
            assert_eq!((dead_letter.topic.as_str(), dead_letter.message_key.as_deref()), (TOPIC, Some(&b"key"[..])));
            assert_eq!((dead_letter.state.as_str(), dead_letter.partition), ("waiting", -1));
            assert_eq!(body_of(database, dead_letter), row.body);
            assert!(dead_letter.reason.contains("headers"), "{dead_letter:?}");
        }
        relay.stop();
    }

    fn a_too_large_event_is_dead_lettered_once_and_can_be_redriven_under_a_higher_limit(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.max_message_bytes = 1_000;
        let relay = Relay::start(database, &settings).unwrap();
        // It is re-published, as a claim without an outcome is; the last time with another body.
        for message in [large(1), large(1), OutgoingMessage { body: "y".repeat(6_000), ..large(1) }] {
            publish(&relay, &[outgoing(0), message, outgoing(2)]);
            assert_eq!(broker.seen(2).len(), 2);
            outbox_empties(database);
        }
        let [dead_letter] = &dead_letters(database)[..] else { panic!("there is one dead letter") };
        let id = dead_letter.id;
        assert_eq!((dead_letter.event_id.as_deref(), body_of(database, dead_letter)), (Some("event-1"), "y".repeat(6_000)));
        assert!(dead_letter.reason.contains("kafka.max_message_bytes"), "{}", dead_letter.reason);
        let action = DeadLetterAction::default();
        let too_soon = relay.commit(|c, publications| redrive_dead_letter(c, publications, id, &action)).unwrap();
        assert!(matches!(too_soon, Disposition::Unsendable(_)), "{too_soon:?}");
        relay.stop();

        settings.max_message_bytes = 10_000;
        let relay = Relay::start(database, &settings).unwrap();
        let end = relay.commit(|c, publications| redrive_dead_letter(c, publications, id, &action)).unwrap();
        assert!(matches!(end, Disposition::Done(_)), "{end:?}");
        assert_eq!(bodies(&broker.seen(1)), ["y".repeat(6_000)]);
        outbox_empties(database);
        relay.stop();

        // An event that was redriven and is refused again gets a new dead letter; one that was discarded does not.
        settings.max_message_bytes = 1_000;
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, &[large(1)]);
        wait_until("there is a second dead letter", || dead_letters(database).len() == 2);
        let newest = dead_letters(database)[0].id;
        database.write(|c| discard_dead_letter(c, newest, &action, 9)).unwrap();
        publish(&relay, &[large(1)]);
        outbox_empties(database);
        let states: Vec<String> = dead_letters(database).into_iter().map(|dead_letter| dead_letter.state).collect();
        assert_eq!(states, [DeadLetterState::Discarded.name(), DeadLetterState::Redriven.name()]);
        relay.stop();
    }

    fn an_event_refused_alone_is_dead_lettered_and_the_rest_of_its_batch_arrives(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let cluster = MockCluster::new(1).unwrap();
        // The broker refuses the batch of all three, and then the first message in a batch of its own.
        let settings = refusing(&cluster, &[RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 2]);
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, &[outgoing(0), outgoing(1), outgoing(2)]);
        outbox_empties(database);
        let [dead_letter] = &dead_letters(database)[..] else { panic!("{:?}", dead_letters(database)) };
        assert!(dead_letter.reason.contains("Kafka refuses it"), "{}", dead_letter.reason);
        let arrived: BTreeSet<String> = crate::bus::arrived(&settings, TOPIC, 2).into_iter().collect();
        let mut all = arrived.clone();
        all.insert(body_of(database, dead_letter));
        assert_eq!((arrived.len(), all), (2, (0..3).map(|n| outgoing(n).body).collect()));
        relay.stop();
    }

    fn all_events_of_a_batch_that_is_refused_once_arrive(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let cluster = MockCluster::new(1).unwrap();
        let settings = refusing(&cluster, &[RD_KAFKA_RESP_ERR_INVALID_RECORD]);
        let relay = Relay::start(database, &settings).unwrap();
        publish(&relay, &[outgoing(0), outgoing(1)]);
        outbox_empties(database);
        assert!(dead_letters(database).is_empty(), "{:?}", dead_letters(database));
        assert_eq!(crate::bus::arrived(&settings, TOPIC, 2).len(), 2);
        relay.stop();
    }
}

/// A topic with one partition that takes no message above this size.
fn create_topic(admin: &AdminClient<DefaultClientContext>, topic: &str, max_message_bytes: &str) {
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", max_message_bytes);
    let created = futures_executor::block_on(admin.create_topics(&[new], &AdminOptions::new())).unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

/// Text of so many bytes that no compression makes small.
fn incompressible(bytes: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..bytes).map(|_| next()).collect()
}

on_kafka! {
    #[test]
    fn an_event_above_the_limit_of_its_topic_delays_no_other_and_can_be_redriven_on_kafka() {
        let test = crate::security::migrated();
        let database = test.database();
        let brokers = brokers_of_services();
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        let topic = unique("small_messages");
        create_topic(&admin, &topic, "2000");
        let mut settings = settings_for(&brokers, &unique("group"));
        // One batch for all that is committed together.
        settings.producer.linger_ms = 200;
        let relay = Relay::start(database, &settings).unwrap();
        let on_topic = |n, body: String| OutgoingMessage { topic: topic.clone(), body, ..outgoing(n) };
        let large = incompressible(5_000);
        let messages = [on_topic(0, "first".to_owned()), on_topic(1, large.clone()), on_topic(2, "last".to_owned())];
        let since = Instant::now();
        publish(&relay, &messages);
        outbox_empties(database);
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}: its neighbours do not wait", since.elapsed());
        assert_eq!(crate::bus::arrived(&settings, &topic, 2), ["first", "last"]);
        let [dead_letter] = &dead_letters(database)[..] else { panic!("{:?}", dead_letters(database)) };
        let reason = &dead_letter.reason;
        assert!(reason.contains("max.message.bytes") && reason.contains(&topic), "{reason}");
        assert_eq!(body_of(database, dead_letter), large);

        let raised = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "100000");
        let altered = futures_executor::block_on(admin.alter_configs(&[raised], &AdminOptions::new())).unwrap();
        assert!(altered.iter().all(Result::is_ok), "{altered:?}");
        let action = DeadLetterAction::default();
        let end = relay.commit(|c, publications| redrive_dead_letter(c, publications, dead_letter.id, &action)).unwrap();
        assert!(matches!(end, Disposition::Done(_)), "{end:?}");
        assert_eq!(crate::bus::arrived(&settings, &topic, 3)[2], large);
        outbox_empties(database);
        relay.stop();
    }
}
