//! A subscriber id is planted everywhere a sender can put it; it may come back in the answer to a claim that was
//! accepted, and nowhere else: in no log line, no event, no refusal and no metric.

use crate::kafka::{Kafka, encoded, settled};
use crate::program::{Program, program};
use crate::service::{Answer, REAL_CLAIM, Service, claim, line};
use claim_events::PAYMENT_TOPIC;
use dual_db::Connection;
use rdkafka::producer::BaseRecord;
use reqwest::Method;
use serde_json::json;
use test_support::{TestDatabase, count, eventually, execute, on_both_databases};

const CANARY: &str = "CANARY8675309";

/// Asserts that a refusal does not repeat what it refuses.
fn silent(answer: &Answer) {
    assert!(answer.status >= 400, "{}", answer.body);
    assert!(!answer.body.to_string().contains(CANARY), "{}", answer.body);
    assert!(!format!("{:?}", answer.headers).contains(CANARY), "{:?}", answer.headers);
}

/// Sends claims that are refused, each for another reason, all with the planted id.
async fn be_refused(service: &Service) {
    // A method may be any word.
    let method = Method::from_bytes(CANARY.as_bytes()).unwrap();
    silent(&Answer::of(service.request(method, "/v1/claims")).await);
    let with = |changes: &[(&str, serde_json::Value)]| {
        let mut line = line(changes);
        line["subscriber_id"] = json!(CANARY);
        line
    };
    let too_long = CANARY.repeat(6);
    for claim in [
        json!([with(&[("submitted_procedure", json!("E1"))])]),
        json!([with(&[("provider_npi", json!(CANARY))])]),
        json!([with(&[("service_date", json!(CANARY))])]),
        json!([with(&[("provider_fees", json!(CANARY))])]),
        json!([with(&[("quadrant", json!(CANARY))])]),
        json!([with(&[]), line(&[])]),
        json!([line(&[("subscriber_id", json!(too_long))])]),
        json!([line(&[("subscriber_id", json!([CANARY]))])]),
        json!([line(&[("subscriber_id", json!(format!("{CANARY}\n")))]), with(&[("plan_group", json!("another"))])]),
        json!({"subscriber_id": CANARY, "lines": [line(&[])]}),
        json!({"lines": CANARY}),
        json!(CANARY),
        json!([CANARY]),
        json!([with(&[("plan_group", json!("POISON"))])]),
    ] {
        silent(&service.post(&claim).await);
    }
    for body in [
        format!("{{\"subscriber_id\": {CANARY}}}"),
        format!("{{\"subscriber_id\": \"{CANARY}\", \"subscriber#\": \"{CANARY}\"}}"),
        format!("[\"{CANARY}"),
        format!("{CANARY},{CANARY}\n1,2\n"),
        REAL_CLAIM.replace("3730189502,", &format!("{CANARY},{CANARY},")),
        REAL_CLAIM.replacen("3730189502", CANARY, 1),
    ] {
        for kind in ["application/json", "text/csv", "application/x-www-form-urlencoded", "text/plain"] {
            let request = service.claims().header("content-type", kind).header("idempotency-key", CANARY);
            silent(&Answer::of(request.body(body.clone())).await);
        }
    }
    for path in [
        "/v1/claims/CANARY8675309",
        "/v1/claims?status=CANARY8675309",
        "/v1/claims?provider_npi=CANARY8675309",
        "/v1/claims?cursor=CANARY8675309",
        "/v1/claims?limit=CANARY8675309",
        "/v1/claims?CANARY8675309=1",
        "/v1/providers/top?limit=CANARY8675309",
        "/v1/dead-letters?state=CANARY8675309",
        "/v1/dead-letters/CANARY8675309",
        "/CANARY8675309",
    ] {
        silent(&service.get(path).await);
        silent(&Answer::of(service.request(Method::PATCH, path)).await);
    }
}

on_both_databases! {
    fn a_planted_subscriber_id_is_in_no_log_line_no_event_and_no_refusal(database: &TestDatabase) {
        let kafka = Kafka::start();
        let directory = tempfile::tempdir().unwrap();
        let mut command = program(directory.path());
        command
            .env("CLAIM_PROCESS__DATABASE__URL", database.settings().url.expose())
            .env("CLAIM_PROCESS__KAFKA__BROKERS", kafka.address())
            .env("CLAIM_PROCESS__LOG__FILTER", "debug")
            .env("CLAIM_PROCESS__RATE_LIMIT__TOP_PROVIDERS_PER_MINUTE", "1000")
            .env("CLAIM_PROCESS__WATCHDOG__FIRST_PAUSE_MS", "50")
            .env("CLAIM_PROCESS__WATCHDOG__MAX_PAUSE_MS", "100")
            .env("CLAIM_PROCESS__WATCHDOG__INTERVAL_MS", "20");
        let running = Program::start(&mut command);
        let service = running.service.clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ids = runtime.block_on(async {
            // What the database refuses is logged with its reason, and PostgreSQL's comes with the whole row.
            database
                .database()
                .write(|connection| match connection {
                    Connection::Sqlite(_) => execute(
                        connection,
                        "CREATE TRIGGER refuse BEFORE INSERT ON claims WHEN NEW.plan_group = 'POISON' \
                     BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END",
                    ),
                    Connection::Postgres(_) => {
                        execute(connection, "ALTER TABLE claims ADD CHECK (plan_group <> 'POISON')")
                    }
                })
                .unwrap();

            let mut good = claim("1497775530", "1.00");
            good["lines"][0]["subscriber_id"] = json!(CANARY);
            good["external_claim_id"] = json!("A-17");
            let accepted = service.post_with_key("key", &good).await;
            assert_eq!(
                (accepted.status, &accepted.body["subscriber_id"]),
                (201, &json!(CANARY)),
                "the sender may see it"
            );
            assert_eq!(service.post_with_key("key", &good).await.status, 200);
            silent(&service.post_with_key("key-2", &good).await);
            good["external_claim_id"] = json!("A-18");
            silent(&service.post_with_key("key", &good).await);
            let csv = service.post_csv(&REAL_CLAIM.replace("3730189502", CANARY)).await;
            assert_eq!(csv.status, 201, "{}", csv.body);
            be_refused(&service).await;

            let ids: Vec<String> =
                [&accepted, &csv].map(|answer| answer.body["id"].as_str().unwrap().to_owned()).into();
            // Re-requests included.
            for published in kafka.published(6).await {
                published.decode();
                assert!(!format!("{published:?}").contains(CANARY), "{published:?}");
            }
            let outcome = encoded(1, &settled(&ids[0], 100));
            for (key, body) in
                [(CANARY, outcome.body.as_str()), (&ids[0], CANARY), (&ids[0], "{\"claim_id\": \"CANARY8675309\"}")]
            {
                let (key, body) = (key.to_owned(), body.to_owned());
                kafka.send(BaseRecord::to(PAYMENT_TOPIC).key(&key).payload(&body), &outcome.headers);
            }
            eventually("the poison is dead-lettered", async || {
                (count(database.database(), "dead_letters") == 3).then_some(())
            })
            .await;
            let letters = service.get("/v1/dead-letters").await.body;
            for letter in letters["dead_letters"].as_array().unwrap() {
                let path = format!("/v1/dead-letters/{}", letter["id"]);
                let shown = service.get(&path).await;
                assert!(shown.status == 200 && !shown.body.to_string().contains(CANARY), "{}", shown.body);
                // An operator's reason may name a patient: it is shown with the dead letter and not logged.
                let reason = json!({"reason": format!("of {CANARY}")});
                let discarded = Answer::of(service.request(Method::POST, &format!("{path}/discard")).json(&reason)).await;
                assert_eq!((discarded.status, &discarded.body["ended_reason"]), (200, &reason["reason"]));
            }
            assert!(!letters.to_string().contains(CANARY), "{letters}");
            kafka.outcome(1, &settled(&ids[0], 100));
            kafka.outcome(1, &settled(&ids[1], 11_685));
            for id in &ids {
                eventually("settled", async || (service.claim(id).await["status"] == "settled").then_some(())).await;
            }
            let metrics = service.get("/metrics").await.body.to_string();
            assert!(metrics.contains("claims_refused_total") && !metrics.contains(CANARY), "{metrics}");
            ids
        });
        while let Some(published) = kafka.published_now() {
            assert!(!format!("{published:?}").contains(CANARY), "{published:?}");
        }
        assert_eq!(count(database.database(), "claims"), 2);
        assert_eq!(
            count(database.database(), &format!("outbox WHERE body LIKE '%{CANARY}%' OR headers LIKE '%{CANARY}%'")),
            0
        );
        running.signal("TERM");
        let (status, log) = running.ended();
        assert_eq!(status.code(), Some(0), "{log}");
        for expected in [
            ids[0].as_str(),
            "a claim was accepted",
            "claims could not be stored",
            "message dead-lettered",
            "dead letter discarded",
            "DEBUG",
        ] {
            assert!(log.contains(expected), "the log is all there: {expected} in {log}");
        }
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(CANARY)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}
