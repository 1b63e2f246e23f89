//! The messages on both topics are checked against the published contract.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::contract;
use system_tests::fates::ALL;
use system_tests::stack::Stack;

const WAIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn every_message_on_both_topics_fits_the_published_contract() {
    let stack = Stack::start(1).await;
    let mut accepted = Vec::new();
    for (fate, number) in ALL.into_iter().zip(0..) {
        let claim = stack.api.submit(&fate.claim(number), &format!("key-{number}")).await;
        accepted.push(Accepted::new(claim["id"].as_str().unwrap().to_owned(), fate));
    }
    audit::check(&stack.api, &accepted, Duration::from_secs(60), Strictness::EndedOnce).await;
    // One claim is voided after it was paid, and all are reannounced.
    accepted[0].voided = stack.api.void(&accepted[0].id).await;
    assert!(accepted[0].voided);
    stack.claim_process[0].command(&["reannounce"]);
    audit::check(&stack.api, &accepted, Duration::from_secs(60), Strictness::EndedOnce).await;

    let witness: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &stack.infrastructure.brokers)
        .set("group.id", "witness")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let ids: BTreeSet<String> = accepted.into_iter().map(|claim| claim.id).collect();
    let topics = contract::topics();
    assert_eq!(topics.len(), 2);
    for (topic, partitions) in topics {
        let metadata = witness.fetch_metadata(Some(&topic), WAIT).expect("the broker answers");
        assert_eq!(metadata.topics()[0].partitions().len(), partitions, "partitions of {topic}");
        assert_eq!(partitions, 12);
        let about = read_all(&witness, &topic, partitions);
        assert_eq!(about, ids, "{topic} has messages of every claim");
    }
}

/// Checks every message of a topic, and returns the ids of their claims.
fn read_all(witness: &BaseConsumer, topic: &str, partitions: usize) -> BTreeSet<String> {
    let mut all = TopicPartitionList::new();
    let mut wanted = 0;
    for partition in 0..i32::try_from(partitions).expect("small") {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        let (low, high) = witness.fetch_watermarks(topic, partition, WAIT).expect("the broker answers");
        wanted += high - low;
    }
    assert!(wanted > 0, "{topic} is empty");
    witness.assign(&all).expect("assigns");
    let mut about = BTreeSet::new();
    let until = Instant::now() + WAIT;
    let mut seen = 0;
    while seen < wanted {
        assert!(Instant::now() < until, "{seen} of {wanted} messages arrived on {topic}");
        let Some(message) = witness.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("a message");
        seen += 1;
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("UTF-8");
        let headers: Vec<(String, String)> =
            message.headers().expect("headers").iter().map(|h| (h.key.to_owned(), text(h.value))).collect();
        let key = text(message.key());
        let body = message.payload().expect("a body");
        assert_eq!(contract::check(topic, Some(&key), &headers, body), Ok(()), "{headers:?} {}", text(Some(body)));

        // The check finds violations.
        assert!(contract::check(topic, Some("another"), &headers, body).is_err());
        assert!(contract::check("another", Some(&key), &headers, body).is_err());
        assert!(contract::check(topic, Some(&key), &headers[1..], body).is_err());
        assert!(contract::check(topic, Some(&key), &headers, b"{}").is_err());
        about.insert(key);
    }
    about
}
