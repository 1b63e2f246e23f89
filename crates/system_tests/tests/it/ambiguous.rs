//! A message that has a header of the envelope twice: readers that take the first one and readers that take the last would not agree
//! about it, so both services refuse it.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::contract;
use system_tests::fates::Fate;
use system_tests::stack::Stack;
use test_support::{eventually, wait_until};

const WAIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_repeated_header_is_refused_by_both_services() {
    let stack = Stack::start(1).await;
    let mut accepted = vec![submit(&stack, 0).await];
    audit::check(&stack.api, &accepted, WAIT, Strictness::EndedOnce).await;
    let topics = contract::topics();
    for (topic, partitions) in &topics {
        let message = first_message(&stack.infrastructure.brokers, topic, *partitions);
        send_with_repeated_header(&stack.infrastructure.brokers, &message, "ce_aggregateversion", "2");
    }
    let letters = eventually("both are dead-lettered", async || {
        let letters = stack.api.dead_letters().await;
        (letters.len() == topics.len()).then_some(letters)
    })
    .await;
    for letter in &letters {
        let reason = letter["reason"].as_str().expect("a reason");
        assert_eq!(reason, "the header 'ce_aggregateversion' is ambiguous: the message has it more than once");
    }
    accepted.push(submit(&stack, 1).await);
    audit::check(&stack.api, &accepted, WAIT, Strictness::EndedOnce).await;
}

async fn submit(stack: &Stack, number: i64) -> Accepted {
    let claim = stack.api.submit(&Fate::Approved.claim(number), &format!("key-{number}")).await;
    Accepted::new(claim["id"].as_str().expect("an id").to_owned(), Fate::Approved)
}

fn first_message(brokers: &str, topic: &str, partitions: usize) -> OwnedMessage {
    let witness: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "witness")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).expect("small") {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    witness.assign(&all).expect("assigns");
    let until = Instant::now() + WAIT;
    loop {
        assert!(Instant::now() < until, "{topic} has a message");
        if let Some(message) = witness.poll(Duration::from_millis(100)) {
            return message.expect("a message").detach();
        }
    }
}

fn send_with_repeated_header(brokers: &str, message: &OwnedMessage, name: &str, value: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a producer");
    let headers = message.headers().expect("headers").clone().insert(Header { key: name, value: Some(value) });
    let record = BaseRecord::to(message.topic())
        .partition(message.partition())
        .key(message.key().expect("a key"))
        .payload(message.payload().expect("a body"))
        .headers(headers);
    producer.send(record).map_err(|(error, _)| error).expect("there is room");
    wait_until("the message is sent", || {
        producer.poll(Duration::from_millis(10));
        producer.in_flight_count() == 0
    });
}
