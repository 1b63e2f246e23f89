//! The relay chooses the same partition for a key as other clients: as the reference algorithm (murmur2 of the key, as Java's
//! clients compute it), and as `kcat`.

use crate::bus::{Broker, TOPIC, outgoing, publish, text};
use event_bus::{MIGRATIONS, OutgoingMessage, Relay};
use local_broker::TOPICS;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use test_support::{PATIENCE, TestDatabase, kcat, wait_until, with_kcat};

const PARTITIONS: i32 = 12;
const KEYS: u64 = 300;

/// `toPositive(murmur2(key)) % 12` of Apache Kafka's `BuiltInPartitioner`, computed by a separate program that reproduces the
/// hashes in Kafka's own tests (`foobar` -790332482, `21` -973932308).
const REFERENCE: [(&str, i32); 7] = [
    ("4fXk0aV1StGXR8Z5jdHi6B", 0),
    ("erxjyZB2sd5vpjqLFsyaZm", 6),
    ("7K4rMecHzBBVxAAFF1dMUK", 10),
    ("0000000000000000000000", 10),
    ("zzzzzzzzzzzzzzzzzzzzzz", 8),
    ("21", 0),
    ("foobar", 6),
];

/// Keys that look like claim ids: 22 letters and digits, always the same ones.
fn keys() -> Vec<String> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let key = |number: u64| {
        let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let characters = (0..22).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(ALPHABET[usize::try_from(state % 62).expect("small")])
        });
        characters.collect()
    };
    (0..KEYS).map(key).collect()
}

/// The partition of each key of a topic, once there are `wanted` keys.
fn partitions_of(address: &str, topic: &str, wanted: usize) -> BTreeMap<String, i32> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", address).set("group.id", "test").set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = client.create().expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("assigns");
    let mut found = BTreeMap::new();
    wait_until(&format!("{wanted} keys are on {topic}"), || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
            found.insert(text(message.key()), message.partition());
        }
        found.len() == wanted
    });
    found
}

/// Publishes a message for each key through a relay.
fn send_by_relay(broker: &Broker, keys: &[String]) {
    let test = TestDatabase::sqlite();
    let database = test.database();
    database.migrate(&[&MIGRATIONS]).unwrap();
    let relay = Relay::start(database, &broker.settings("group")).unwrap();
    let messages: Vec<OutgoingMessage> =
        keys.iter().map(|key| OutgoingMessage { key: key.clone(), ..outgoing(1) }).collect();
    publish(&relay, &messages);
    relay.stop();
}

/// Publishes a message for each key with `kcat`.
fn send_by_kcat(address: &str, topic: &str, keys: &[String]) {
    let mut sender = Command::new(kcat())
        .args(["-P", "-b", address, "-t", topic, "-K:", "-X", "topic.partitioner=murmur2_random"])
        .args(["-X", &format!("message.timeout.ms={}", PATIENCE.as_millis())])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat starts");
    let lines: String = keys.iter().map(|key| format!("{key}:body\n")).collect();
    sender.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(sender.wait().unwrap().success(), "kcat failed");
}

#[test]
fn the_relay_puts_keys_where_the_reference_algorithm_does() {
    let broker = Broker::start();
    let keys: Vec<String> = REFERENCE.iter().map(|(key, _)| (*key).to_owned()).collect();
    send_by_relay(&broker, &keys);
    let expected: BTreeMap<String, i32> = REFERENCE.iter().map(|(key, at)| ((*key).to_owned(), *at)).collect();
    assert_eq!(partitions_of(&broker.settings("group").brokers, TOPIC, keys.len()), expected);
}

with_kcat! {
    #[test]
    fn the_relay_and_kcat_put_each_key_in_the_same_partition() {
        let broker = Broker::start();
        let address = broker.settings("group").brokers;
        let keys = keys();
        send_by_relay(&broker, &keys);
        send_by_kcat(&address, TOPICS[1], &keys);
        let by_relay = partitions_of(&address, TOPIC, keys.len());
        assert_eq!(by_relay, partitions_of(&address, TOPICS[1], keys.len()));
        let used: BTreeSet<i32> = by_relay.into_values().collect();
        assert_eq!(used.len(), usize::try_from(PARTITIONS).unwrap(), "the keys spread over all partitions");
    }
}
