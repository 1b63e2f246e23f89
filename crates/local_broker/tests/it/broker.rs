//! The broker as clients see it: topics, groups, restarts and connections.

use claim_events::{CLAIM_TOPIC, PARTITIONS};
use local_broker::{LocalBroker, TOPICS};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use test_support::{PATIENCE, free_address, wait_until};

fn start() -> LocalBroker {
    LocalBroker::start("127.0.0.1:0").expect("the broker starts")
}

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", address)
        .set("partitioner", "murmur2_random")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "200")
        .set("linger.ms", "5");
    config
}

fn producer(address: &str) -> ThreadedProducer<DefaultProducerContext> {
    client(address).create().expect("a producer")
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, key: &str, body: &str) {
    producer.send(BaseRecord::to(CLAIM_TOPIC).key(key).payload(body)).map_err(|(error, _)| error).expect("queued");
}

fn member(address: &str, group: &str) -> BaseConsumer {
    member_whose_fetches_wait(address, group, Duration::from_millis(10))
}

fn member_whose_fetches_wait(address: &str, group: &str, wait: Duration) -> BaseConsumer {
    let consumer: BaseConsumer = client(address)
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "3000")
        .set("heartbeat.interval.ms", "500")
        .set("fetch.wait.max.ms", wait.as_millis().to_string())
        .create()
        .expect("a consumer");
    consumer.subscribe(&[CLAIM_TOPIC]).expect("subscribes");
    consumer
}

/// Polls until `wanted` messages with distinct bodies are received.
fn receive(consumer: &BaseConsumer, wanted: usize) -> Vec<OwnedMessage> {
    let mut bodies = BTreeSet::new();
    let mut messages = Vec::new();
    wait_until(&format!("{wanted} messages are received"), || {
        // The time-out applies if there is no message.
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            if bodies.insert(message.payload().map(<[u8]>::to_vec)) {
                messages.push(message.detach());
            }
            if messages.len() == wanted {
                break;
            }
        }
        messages.len() == wanted
    });
    messages
}

fn partitions_of(consumer: &BaseConsumer) -> usize {
    consumer.assignment().map_or(0, |assignment| assignment.count())
}

#[test]
fn both_topics_exist_from_the_start_at_the_fixed_address() {
    let broker = start();
    let address = broker.address().to_string();
    let outside: BaseProducer = client(&address).create().unwrap();
    for topic in TOPICS {
        let metadata = outside.client().fetch_metadata(Some(topic), PATIENCE).unwrap();
        let found = &metadata.topics()[0];
        assert_eq!((found.name(), found.partitions().len()), (topic, usize::try_from(PARTITIONS).unwrap()));
        let brokers: Vec<_> = metadata.brokers().iter().map(|b| format!("{}:{}", b.host(), b.port())).collect();
        assert_eq!(brokers.concat(), address);
    }
}

#[test]
fn a_group_joins_quickly_and_gets_every_message_a_key_in_one_partition() {
    let broker = start();
    let address = broker.address().to_string();
    let outside = producer(&address);
    for n in 0..600 {
        send(&outside, &format!("claim-{}", n % 30), &n.to_string());
    }
    outside.flush(PATIENCE).unwrap();

    let began = Instant::now();
    let consumer = member(&address, "payments");
    let first = receive(&consumer, 1);
    let took = began.elapsed();
    println!("a group's first join and its first message took {took:?}");
    assert!(took < Duration::from_secs(20), "a group's first join took {took:?}");

    let mut messages = receive(&consumer, 599);
    messages.extend(first);
    let partitions: BTreeSet<_> =
        messages.iter().map(|message| (message.key().unwrap().to_vec(), message.partition().unsigned_abs())).collect();
    assert_eq!(partitions.len(), 30, "each key is in one partition");
    for (key, partition) in partitions {
        assert_eq!(partition, reference_partition(&key), "the same as with every Kafka client");
    }
}

/// Kafka's default partitioner for keyed messages, as in the Java client (`Utils.murmur2`).
fn reference_partition(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(key.len()).expect("a short key");
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (position, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * position);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) % PARTITIONS.unsigned_abs()
}

#[test]
fn a_fetch_without_messages_is_answered_as_soon_as_there_is_one() {
    const WAIT: Duration = Duration::from_secs(10);
    let broker = start();
    let address = broker.address().to_string();
    let outside = producer(&address);
    let consumer = member_whose_fetches_wait(&address, "payments", WAIT);
    // A fetch names the partitions whose offsets the consumer knows by then. Once a message of each has come, that is all.
    for partition in 0..PARTITIONS {
        let first = BaseRecord::<str, _>::to(CLAIM_TOPIC).partition(partition);
        outside.send(first.payload(&format!("first of {partition}"))).map_err(|(error, _)| error).expect("queued");
    }
    receive(&consumer, usize::try_from(PARTITIONS).unwrap());
    let began = Instant::now();
    for n in 0..20 {
        send(&outside, &format!("claim-{n}"), &n.to_string());
        assert_eq!(receive(&consumer, 1)[0].payload(), Some(n.to_string().as_bytes()));
    }
    assert!(began.elapsed() < WAIT, "twenty messages in a row took {:?}", began.elapsed());
}

#[test]
fn a_request_behind_a_held_fetch_is_answered_at_once() {
    const WAIT: Duration = Duration::from_secs(10);
    let broker = start();
    let address = broker.address().to_string();
    let outside = producer(&address);
    let consumer = member_whose_fetches_wait(&address, "payments", WAIT);
    send(&outside, "claim-1", "1");
    receive(&consumer, 1);
    let began = Instant::now();
    for partition in 0..PARTITIONS {
        consumer.fetch_watermarks(CLAIM_TOPIC, partition, WAIT).expect("the offsets are answered");
    }
    assert!(began.elapsed() < WAIT / 2, "the offsets took {:?}", began.elapsed());
}

#[test]
fn two_members_share_the_partitions() {
    let broker = start();
    let address = broker.address().to_string();
    let first = member(&address, "payments");
    wait_until("the first has all partitions", || {
        first.poll(Duration::from_millis(50));
        partitions_of(&first) == 12
    });
    let began = Instant::now();
    let second = member(&address, "payments");
    wait_until("each has half of the partitions", || {
        first.poll(Duration::from_millis(20));
        second.poll(Duration::from_millis(20));
        (partitions_of(&first), partitions_of(&second)) == (6, 6)
    });
    println!("a second member had half of the partitions after {:?}", began.elapsed());
}

#[test]
fn clients_reconnect_after_a_restart_of_the_broker() {
    let broker = LocalBroker::start(&free_address().to_string()).expect("the broker starts");
    let address = broker.address().to_string();
    let outside = producer(&address);
    let consumer = member(&address, "payments");
    for n in 0..10 {
        send(&outside, "a", &format!("before {n}"));
    }
    assert_eq!(receive(&consumer, 10).len(), 10);

    drop(broker);
    // Sent while the broker is down: it waits in the producer's queue and is not lost.
    send(&outside, "a", "meanwhile");
    let began = Instant::now();
    let _broker = LocalBroker::start(&address).expect("the address is free again");
    send(&outside, "b", "after");
    let delivered = outside.flush(PATIENCE);
    println!("the producer delivered after {:?}", began.elapsed());
    delivered.expect("everything is delivered");
    // The consumer's position is past the end of the new partition, so it starts from the beginning.
    let bodies: BTreeSet<_> = receive(&consumer, 2).iter().map(|message| message.payload().unwrap().to_vec()).collect();
    println!("the consumer received after {:?}", began.elapsed());
    assert_eq!(bodies, BTreeSet::from([b"meanwhile".to_vec(), b"after".to_vec()]));
}

/// Sends an `ApiVersions` request (version 0) and reads the response, which proves that the broker serves the connection.
fn assert_answers(mut connection: &TcpStream) {
    connection.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]).expect("sends");
    let mut length = [0; 4];
    connection.read_exact(&mut length).expect("answers");
    let mut response = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("short")];
    connection.read_exact(&mut response).expect("answers");
    assert!(response.starts_with(&[0, 0, 0, 1]), "the correlation id is that of the request");
}

#[test]
fn connections_are_bounded_and_closed_with_the_broker() {
    let broker = start();
    let open: Vec<_> = (0..256).map(|_| TcpStream::connect(broker.address()).expect("connects")).collect();
    let ended = |stream: &TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        std::io::Read::read(&mut &*stream, &mut [0]).map_or(true, |read| read == 0)
    };
    let one_too_many = TcpStream::connect(broker.address()).expect("the operating system accepts it");
    assert!(ended(&one_too_many), "a connection above the limit is closed");
    drop(open);
    // New connections are accepted once the others are closed.
    let address = broker.address().to_string();
    let outside: BaseProducer = client(&address).create().unwrap();
    outside.client().fetch_metadata(None, PATIENCE).expect("answers again");

    let idle = TcpStream::connect(broker.address()).unwrap();
    let (closed, is_closed): (Sender<bool>, _) = channel();
    assert_answers(&idle);
    std::thread::spawn(move || closed.send(ended(&idle)));
    drop(broker);
    assert_eq!(is_closed.recv_timeout(PATIENCE), Ok(true), "the broker closes its connections when it ends");
}
