//! The short form of `siege`, on PostgreSQL and Kafka: two claim_process, three payments and one that comes and goes.

use std::time::Duration;
use system_tests::siege::{Plan, Scenario, lay};
use system_tests::stack::Stack;

async fn short(scenario: Scenario, claims: i64) {
    let plan =
        Plan { scenario, claims, voids_per_hundred: 10, senders: 8, freeze: Duration::from_secs(20), seed: 20_261_125 };
    if let Some(stack) = Stack::start_on_servers(2, 4).await {
        eprintln!("{}", lay(stack, plan).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_end_as_they_should_whatever_is_killed_frozen_or_restarted() {
    short(Scenario::Kills, 3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_end_as_they_should_whatever_kafka_forgets_or_says_again() {
    short(Scenario::Kafka, 2_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_end_as_they_should_when_payments_database_is_put_back() {
    short(Scenario::Restore, 2_000).await;
}
