//! The short form of `siege`, on PostgreSQL and Kafka: two claim_process, three payments, and one that is added and removed.

use std::time::Duration;
use system_tests::siege::{Plan, Scenario, run};
use test_support::{effort, on_postgres_and_kafka};

async fn short(scenario: Scenario, claims: i64) {
    let plan = Plan {
        scenario,
        claims,
        voids_per_hundred: 10,
        senders: 8,
        freeze: Duration::from_secs(effort(8, 20)),
        seed: 20_261_125,
    };
    eprintln!("{}", run(scenario.start().await, plan).await);
}

on_postgres_and_kafka! {
    #[tokio::test(flavor = "multi_thread")]
    async fn claims_survive_kills_freezes_and_crashes_on_postgresql_and_kafka() {
        short(Scenario::Kills, effort(600, 3_000)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn claims_survive_wiped_topics_and_moved_offsets_on_postgresql_and_kafka() {
        short(Scenario::Kafka, effort(400, 2_000)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn claims_survive_a_restored_payments_database_on_postgresql_and_kafka() {
        short(Scenario::Restore, effort(400, 2_000)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn claims_survive_a_network_with_faults_on_postgresql_and_kafka() {
        short(Scenario::Network, effort(600, 3_000)).await;
    }
}
