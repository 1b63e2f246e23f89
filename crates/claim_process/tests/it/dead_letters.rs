//! What an operator does with an outcome that could not be applied. That its content is not shown, `canary.rs`
//! tests; the rest is the same in both services, and tested in payments.

use crate::kafka::{Kafka, settled};
use crate::service::{Answer, PROVIDERS, Service, claim, with_settings};
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{TestDatabase, count, eventually, execute, on_both_databases};

/// Where a claim is put for a while.
const AWAY: &str = "AAAAAAAAAAAAAAAAAAAAAA";

async fn waiting(service: &Service) -> Vec<Value> {
    let page = service.get("/v1/dead-letters").await.body;
    page["dead_letters"].as_array().expect("a list").clone()
}

async fn act(service: &Service, id: &Value, act: &str, body: &Value) -> Answer {
    Answer::of(service.request(Method::POST, &format!("/v1/dead-letters/{id}/{act}")).json(body)).await
}

on_both_databases! {
    fn a_redriven_outcome_settles_the_claim_that_was_missing_when_it_arrived(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(
            database,
            |settings| kafka.configure(settings),
            async |service| {
                let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
                kafka.published(1).await;
                let rename = |from: &str, to: &str| {
                    let sql = format!("UPDATE claims SET claim_id = '{to}' WHERE claim_id = '{from}'");
                    database.database().write(|connection| execute(connection, &sql)).unwrap();
                };
                rename(&id, AWAY);
                kafka.outcome(1, &settled(&id, 8_125));
                let letters = eventually("it is dead-lettered", async || {
                    Some(waiting(&service).await).filter(|letters| !letters.is_empty())
                })
                .await;
                let [letter] = &letters[..] else { panic!("one dead letter: {letters:?}") };
                assert_eq!(
                    (&letter["reason"], &letter["key"], &letter["topic"]),
                    (&json!("there is no such claim in this database"), &json!(id), &json!("payments.payment.v1"))
                );
                let shown = service.get(&format!("/v1/dead-letters/{}", letter["id"])).await;
                let shape = &shown.body["body"]["shape"];
                assert_eq!((&shape["claim_id"], &shape["amount_cents"]), (&json!(id), &json!("number")));

                rename(AWAY, &id);
                let request = json!({"reason": "the claim is back", "operator": "A. Smith"});
                let redriven = act(&service, &letter["id"], "redrive", &request).await;
                assert_eq!((redriven.status, &redriven.body["state"]), (202, &json!("redriven")), "{}", redriven.body);
                assert_eq!(redriven.body["ended_by"], "A. Smith");
                eventually("it is settled", async || (service.claim(&id).await["status"] == "settled").then_some(())).await;
                assert_eq!(waiting(&service).await, Vec::<Value>::new());
                assert_eq!(count(database.database(), "dead_letters"), 1, "no new one");
                let again = act(&service, &letter["id"], "redrive", &request).await;
                assert_eq!((again.status, &again.body["state"]), (409, &json!("redriven")));
                assert_eq!(act(&service, &letter["id"], "discard", &json!({})).await.status, 422);
                assert_eq!(act(&service, &json!(4711), "discard", &request).await.problem(404), "not-found");
            },
        );
    }
}
