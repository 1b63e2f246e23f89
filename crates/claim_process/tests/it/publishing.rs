//! What the service publishes on `claims.claim.v1`: every accepted claim as the contract defines it, also after Kafka was
//! away.

use crate::kafka::{Kafka, connect_to};
use crate::service::{Answer, PROVIDERS, REAL_CLAIM, claim, with_service, with_settings};
use claim_events::ClaimEvent;
use dual_db::Database;
use serde_json::json;
use std::collections::BTreeSet;
use test_support::{TestDatabase, count, eventually, execute, free_address, on_both_databases};
use tokio::task::JoinSet;

/// Waits until everything was delivered and its rows are gone.
async fn outbox_empties(database: &Database) {
    eventually("the outbox is empty", async || (count(database, "outbox") == 0).then_some(())).await;
}

on_both_databases! {
    fn an_accepted_claim_is_published_as_the_contract_defines(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(
            database,
            |settings| kafka.configure(settings),
            async |service| {
                let request = service.claims().header("content-type", "text/csv").header("x-request-id", "request-1");
                let (trace, caller) = ("00-4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
                let request = request.header("traceparent", format!("{trace}-{caller}-01"));
                let answer = Answer::of(request.body(REAL_CLAIM)).await;
                assert_eq!(answer.status, 201, "{}", answer.body);
                let id = answer.body["id"].as_str().unwrap();
                let mut published = kafka.published(1).await.remove(0);
                assert_eq!(published.key, id);
                let (name, traceparent) = published.headers.pop().unwrap();
                assert!(name == "traceparent" && traceparent.starts_with(trace), "{name} {traceparent}");
                assert!(!traceparent.contains(caller), "the request is a span of its own: {traceparent}");
                let expected = [
                    ("ce_specversion", "1.0"),
                    ("ce_id", &format!("{id}.claim.submitted.1")),
                    ("ce_type", "claim.submitted"),
                    ("ce_source", "/claim_process"),
                    ("ce_subject", id),
                    ("ce_time", answer.body["submitted_at"].as_str().unwrap()),
                    ("ce_dataschema", "urn:claims-to-payments:claim.submitted:v1"),
                    ("content-type", "application/json"),
                    ("ce_aggregateversion", "1"),
                    ("ce_correlationid", "request-1"),
                    ("ce_causationid", "request-1"),
                ];
                assert_eq!(published.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
                let body: serde_json::Value = serde_json::from_str(&published.body).unwrap();
                assert_eq!(
                    body,
                    json!({
                        "claim_id": id, "plan_group": "GRP-1000", "provider_npi": "1497775530", "net_fee_cents": 11_685,
                        "submitted_at": answer.body["submitted_at"], "known_outcome": null, "resync_epoch": 0,
                        "lines": [
                            {"line": 1, "service_date": "2018-03-28", "submitted_procedure": "D0180", "quadrant": null,
                             "provider_fees_cents": 10_000, "allowed_fees_cents": 10_000, "member_coinsurance_cents": 0,
                             "member_copay_cents": 0, "net_fee_cents": 0},
                            {"line": 2, "service_date": "2018-03-28", "submitted_procedure": "D0210", "quadrant": null,
                             "provider_fees_cents": 10_800, "allowed_fees_cents": 10_800, "member_coinsurance_cents": 0,
                             "member_copay_cents": 0, "net_fee_cents": 0},
                            {"line": 3, "service_date": "2018-03-28", "submitted_procedure": "D4346", "quadrant": null,
                             "provider_fees_cents": 13_000, "allowed_fees_cents": 6_500, "member_coinsurance_cents": 1_625,
                             "member_copay_cents": 0, "net_fee_cents": 8_125},
                            {"line": 4, "service_date": "2018-03-28", "submitted_procedure": "D4211", "quadrant": "UR",
                             "provider_fees_cents": 17_800, "allowed_fees_cents": 17_800, "member_coinsurance_cents": 3_560,
                             "member_copay_cents": 0, "net_fee_cents": 3_560},
                        ],
                    })
                );
                let (envelope, event) = published.decode();
                assert!(matches!(event, ClaimEvent::Submitted(_)) && envelope.version == 1);
                let everything = format!("{published:?}");
                assert!(!everything.contains("3730189502"), "no subscriber id in {everything}");
                outbox_empties(database.database()).await;
                assert!(kafka.published_now().is_none(), "it is published once");
            },
        );
    }

    fn every_claim_is_published_once_under_its_own_key(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(
            database,
            |settings| kafka.configure(settings),
            async |service| {
                let mut posts = JoinSet::new();
                for _ in 0..100 {
                    let service = service.clone();
                    posts.spawn(async move { service.accepted(&claim(PROVIDERS[0], "1.00")).await });
                }
                let ids: BTreeSet<String> = posts.join_all().await.into_iter().collect();
                // Refused claims and repeats are not published.
                service.post_with_key("key", &claim(PROVIDERS[0], "1.00")).await;
                service.post_with_key("key", &claim(PROVIDERS[0], "1.00")).await;
                service.post(&claim("12", "1.00")).await;
                let published = kafka.published(101).await;
                let keys: BTreeSet<String> = published
                    .iter()
                    .map(|published| published.decode().1)
                    .map(|event| match event {
                        ClaimEvent::Submitted(body) => body.claim_id,
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert_eq!(keys.len(), 101);
                assert!(keys.is_superset(&ids));
                let partitions: BTreeSet<i32> = published.iter().map(|published| published.partition).collect();
                assert!(partitions.len() > 6, "spread over the partitions: {partitions:?}");
                outbox_empties(database.database()).await;
                assert!(kafka.published_now().is_none());
            },
        );
    }

    fn a_claim_is_accepted_without_kafka_and_published_when_kafka_comes(database: &TestDatabase) {
        let address = free_address().to_string();
        let change = |settings: &mut claim_process::settings::Settings| connect_to(&address, settings);
        // Outlives the service, which leaves its group when it stops.
        let mut kafka = None;
        with_settings(database, change, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            assert_eq!(count(database.database(), "outbox"), 1);
            let kafka = kafka.insert(Kafka::start_at(&address));
            assert_eq!(kafka.published(1).await[0].key, id);
            outbox_empties(database.database()).await;
            eventually("the service is ready", async || (service.get("/readyz").await.status == 200).then_some(()))
                .await;
            let next = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            assert_eq!(kafka.published(1).await[0].key, next);
        });
    }

    fn a_claim_whose_delivery_was_given_up_is_swept(database: &TestDatabase) {
        let address = free_address().to_string();
        let change = |settings: &mut claim_process::settings::Settings| {
            connect_to(&address, settings);
            settings.kafka.producer.delivery_timeout_ms = 200;
            settings.kafka.outbox.sweep_interval_ms = 50;
        };
        // Outlives the service, which leaves its group when it stops.
        let mut kafka = None;
        with_settings(database, change, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            // The second time the sweeper takes it, so it has given up the first.
            let taken_at = || test_support::number(database.database(), "SELECT MAX(send_after_us) AS n FROM outbox");
            let first = taken_at();
            eventually("the sweeper takes it", async || (taken_at() > first).then_some(())).await;
            let kafka = kafka.insert(Kafka::start_at(&address));
            assert_eq!(kafka.published(1).await[0].key, id);
            outbox_empties(database.database()).await;
        });
    }

    fn what_a_crash_left_behind_is_published_at_the_next_start(database: &TestDatabase) {
        let mut ids = BTreeSet::new();
        with_service(database, async |service| {
            for _ in 0..3 {
                ids.insert(service.accepted(&claim(PROVIDERS[0], "1.00")).await);
            }
        });
        let database_now = database.database();
        assert_eq!(count(database_now, "outbox"), 3, "it stopped before Kafka had them");
        // So long ago that no other instance can be about to send them.
        database_now.write(|c| execute(c, "UPDATE outbox SET send_after_us = 1")).unwrap();
        let kafka = Kafka::start();
        with_settings(
            database,
            |settings| kafka.configure(settings),
            async |_| {
                let published: BTreeSet<String> = kafka.published(3).await.into_iter().map(|published| published.key).collect();
                assert_eq!(published, ids);
                outbox_empties(database_now).await;
            },
        );
    }
}
