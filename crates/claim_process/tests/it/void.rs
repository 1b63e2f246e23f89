//! A claim is voided: at any time, once, and finally.

use crate::kafka::{Kafka, settled, unwound};
use crate::service::{Answer, PROVIDERS, Service, assert_totals_agree, claim, with_service, with_settings};
use claim_events::{Cause, ClaimEvent, KnownOutcome, OutcomeKind, PaymentEvent, Unwound};
use claim_process::settings::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{TestDatabase, count, eventually, execute, number, on_both_databases};

/// Voids a claim.
pub async fn void(service: &Service, id: &str) -> Answer {
    void_with(service, id, &json!({"reason": "sent by mistake"})).await
}

async fn void_with(service: &Service, id: &str, body: &Value) -> Answer {
    Answer::of(service.request(Method::POST, &format!("/v1/claims/{id}/void")).json(body)).await
}

fn voided(id: &str) -> PaymentEvent {
    PaymentEvent::Unwound(Unwound {
        claim_version: 2,
        cause: Cause::VoidRequested,
        failed_step: None,
        reason_code: None,
        reason: None,
        ..unwound(id)
    })
}

on_both_databases! {
    fn a_claim_is_voided_published_again_and_unwound(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            assert!(matches!(kafka.published(1).await[0].decode().1, ClaimEvent::Submitted(_)));
            let answer = void(&service, &id).await;
            assert_eq!((answer.status, &answer.body["status"]), (202, &json!("void_requested")));
            let timeline = answer.body["timeline"].as_array().expect("a timeline");
            assert_eq!(timeline[1]["event"], "claim.void_requested");
            assert_eq!(timeline[1]["reason"], "sent by mistake");
            let published = kafka.published(1).await.remove(0);
            let (envelope, event) = published.decode();
            assert_eq!((envelope.version, envelope.time.as_str()), (2, timeline[1]["at"].as_str().expect("a time")));
            let ClaimEvent::VoidRequested(body) = event else { panic!("{event:?}") };
            assert_eq!((body.claim_id, body.net_fee_cents, body.known_outcome), (id.clone(), 8_125, None));
            assert!(!published.body.contains("mistake"), "the reason is not published");

            let again = void_with(&service, &id, &json!({"reason": "another reason"})).await;
            assert_eq!((again.status, again.body), (202, answer.body), "once is enough");
            assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (8_125, 1), "it counts until it is unwound");

            // A settlement that was on its way is recorded, and answers nothing.
            kafka.outcome(1, &settled(&id, 8_125));
            eventually("the settlement is recorded", async || {
                (service.claim(&id).await["outcome"]["type"] == "payment.settled").then_some(())
            })
            .await;
            assert_eq!(service.claim(&id).await["status"], "void_requested");
            assert_eq!(count(database.database(), "claims WHERE next_attempt_at_us IS NOT NULL"), 1);

            kafka.outcome(2, &voided(&id));
            let done = service.claim_with_status(&id, "unwound").await;
            assert_eq!(done["outcome"]["cause"], "void_requested");
            let after = void(&service, &id).await;
            assert_eq!((after.status, after.body), (202, done), "also when it is done");
        });
        assert_eq!(count(database.database(), "claims WHERE next_attempt_at_us IS NOT NULL"), 0);
        assert_eq!(assert_totals_agree(database.database()).get(PROVIDERS[0]), None);
        assert_eq!(count(database.database(), "dead_letters"), 0);
    }

    fn a_settled_claim_is_voided_with_its_known_outcome(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            kafka.published(1).await;
            kafka.outcome(1, &settled(&id, 8_125));
            service.claim_with_status(&id, "settled").await;
            assert_eq!(void(&service, &id).await.status, 202);
            let ClaimEvent::VoidRequested(body) = kafka.published(1).await[0].decode().1 else { panic!("a void") };
            assert_eq!(body.known_outcome, Some(KnownOutcome { kind: OutcomeKind::Settled, version: 1 }));
        });
    }

    fn a_claim_unwound_for_another_cause_cannot_be_voided(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            kafka.outcome(1, &PaymentEvent::Unwound(unwound(&id)));
            let before = service.claim_with_status(&id, "unwound").await;
            assert_eq!(void(&service, &id).await.problem(409), "already-unwound");
            assert_eq!(service.claim(&id).await, before);
        });
        assert_eq!(count(database.database(), "outbox"), 0);
    }

    fn many_voids_at_once_are_one(database: &TestDatabase) {
        with_service(database, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            let voids: Vec<_> = (0..20)
                .map(|_| {
                    let (service, id) = (service.clone(), id.clone());
                    tokio::spawn(async move { void(&service, &id).await })
                })
                .collect();
            let mut answers = Vec::new();
            for void in voids {
                answers.push(void.await.expect("no panic"));
            }
            assert!(answers.iter().all(|answer| answer.status == 202 && answer.body == answers[0].body));
        });
        assert_eq!(count(database.database(), "outbox"), 2, "one submission and one void");
        assert_eq!(count(database.database(), "claim_timeline"), 1);
    }

    fn a_voided_claim_is_due_a_first_pause_after_its_void_and_counts_from_zero(database: &TestDatabase) {
        with_service(database, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            let requested = "UPDATE claims SET request_count = 7, needs_attention = TRUE, next_attempt_at_us = NULL";
            database.database().write(|connection| execute(connection, requested)).expect("writes");
            let longest = "ä".repeat(500);
            let answer = void_with(&service, &id, &json!({"reason": format!(" {longest}\n")})).await;
            assert_eq!((answer.status, &answer.body["timeline"][1]["reason"]), (202, &json!(longest)));
        });
        let first_pause_us = Settings::default().watchdog.first_pause_us();
        assert!(first_pause_us > 0);
        assert_eq!(number(database.database(), "SELECT next_attempt_at_us - voided_at_us AS n FROM claims"), first_pause_us);
        assert_eq!(count(database.database(), "claims WHERE request_count = 0 AND NOT needs_attention"), 1);
    }

    fn what_cannot_be_a_void_changes_nothing(database: &TestDatabase) {
        with_service(database, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            let before = service.claim(&id).await;
            for (body, code) in [
                (json!({}), "required"),
                (json!({"reason": "  "}), "required"),
                (json!({"reason": "x".repeat(501)}), "length"),
                (json!({"reason": "a\0b"}), "length"),
            ] {
                let answer = void_with(&service, &id, &body).await;
                assert_eq!(answer.problem(422), "void-refused");
                assert_eq!(answer.body["errors"][0]["code"], code);
            }
            for body in [json!([]), json!("x"), json!({"reason": 1}), json!({"reason": "x", "more": 1})] {
                assert_eq!(void_with(&service, &id, &body).await.problem(400), "malformed");
            }
            for unknown in ["4fXk0aV1StGXR8Z5jdHi6B", "nothing"] {
                assert_eq!(void(&service, unknown).await.problem(404), "not-found");
            }
            let get = service.get(&format!("/v1/claims/{id}/void")).await;
            assert_eq!((get.problem(405), get.header("allow")), ("wrong-method", "POST"));
            assert_eq!(service.claim(&id).await, before);
        });
        assert_eq!(count(database.database(), "outbox"), 1);
    }
}
