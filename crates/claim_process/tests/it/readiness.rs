//! `/readyz`: each dependency and each worker, by name.

use crate::group_commit::WriteLock;
use crate::kafka::Kafka;
use crate::service::{PROVIDERS, claim, with_settings};
use claim_process::settings::Settings;
use serde_json::json;
use test_support::{TestDatabase, eventually, on_both_databases};

on_both_databases! {
    fn a_writer_whose_claims_are_not_stored_is_not_ready_and_the_rest_is(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            settings.health.no_news_ms = 1_000;
        };
        with_settings(database, change, async |service| {
            let ready = eventually("all are ready", async || {
                let ready = service.get("/readyz").await;
                (ready.status == 200).then_some(ready.body)
            });
            let names = ["consumer", "database", "ingest_writer", "kafka", "relay"];
            let all: serde_json::Map<_, _> = names.map(|name| (name.to_owned(), json!("ready"))).into_iter().collect();
            assert_eq!(ready.await, json!({"ready": true, "dependencies": all}));
            let lock = WriteLock::take(database.database());
            let body = claim(PROVIDERS[0], "1.00");
            let post = service.post(&body);
            let not_ready = eventually("the writer is not ready", async || {
                let answer = service.get("/readyz?of=ingest_writer").await;
                (answer.status == 503).then_some(answer.body)
            });
            let (_, not_ready) = tokio::join!(
                async { assert_eq!(post.await.status, 201) },
                async {
                    let not_ready = not_ready.await;
                    assert_eq!(service.get("/readyz?of=kafka,consumer").await.status, 200);
                    assert_eq!(service.get("/readyz").await.status, 503);
                    drop(lock);
                    not_ready
                }
            );
            let reason = not_ready["dependencies"]["ingest_writer"].as_str().unwrap();
            assert!(reason.starts_with("no news for ") && reason.contains("the database to store claims"), "{reason}");
            eventually("all are ready again", async || (service.get("/readyz").await.status == 200).then_some(())).await;
            let metrics = service.get("/metrics").await.body;
            let metrics = metrics.as_str().unwrap();
            assert!(metrics.contains(r#"ready{of="ingest_writer"}"#), "{metrics}");
            assert!(metrics.contains(r#"ready_last_success_age_seconds{of="database"}"#), "{metrics}");
        });
    }
}
