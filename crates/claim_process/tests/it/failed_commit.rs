//! A COMMIT that fails after the outbox rows were written: no event of that transaction may reach the topic.
//!
//! Not a statement but the COMMIT itself has to fail, because rows that were handed to the producer between the last
//! statement and the COMMIT are what these tests are to find. On both databases a constraint that is checked only at the
//! end of the transaction makes it fail.

use crate::kafka::{Kafka, PublishedMessage, encoded, settled, unwound};
use crate::service::{Answer, PROVIDERS, Service, assert_totals_agree, claim, line, with_service, with_settings};
use claim_events::{ClaimEvent, Encoded, KnownOutcome, OutcomeKind, PARTITIONS, PAYMENT_TOPIC, PaymentEvent, Unwound};
use claim_process::events::outcomes::Outcomes;
use claim_process::events::watchdog::request_overdue_outcomes;
use claim_process::settings::Settings;
use event_bus::{Handler, IncomingMessage, KafkaSettings, Relay};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use test_support::{
    OutboxMessage, Tally, TestDatabase, count, eventually, execute, fail_commits, leave_in_outbox, let_commits_succeed,
    number, on_both_databases,
};
use tokio::task::JoinSet;

/// All that the service handed to its producer before this call, without waiting for something that may never come: good
/// claims are posted until one of them was published in each partition, behind everything that was on its way there. They
/// themselves are left out.
async fn published_so_far(service: &Service, kafka: &Kafka) -> Vec<PublishedMessage> {
    let mut published = Vec::new();
    let mut partitions = BTreeSet::new();
    while partitions.len() < usize::try_from(PARTITIONS).expect("few") {
        let marker = service.accepted(&claim(PROVIDERS[3], "0.00")).await;
        loop {
            let next = kafka.published(1).await.remove(0);
            if next.key == marker {
                partitions.insert(next.partition);
                break;
            }
            published.push(next);
        }
    }
    published
}

/// The only event published so far, by the key of its message.
async fn only_published(service: &Service, kafka: &Kafka) -> PublishedMessage {
    let mut published = published_so_far(service, kafka).await;
    assert_eq!(published.len(), 1, "{published:?}");
    published.remove(0)
}

async fn void(service: &Service, id: &str) -> Answer {
    let request = service.request(Method::POST, &format!("/v1/claims/{id}/void"));
    Answer::of(request.json(&json!({"reason": "sent by mistake"}))).await
}

on_both_databases! {
    fn the_commit_fails_and_no_statement_before_it(database: &TestDatabase) {
        with_service(database, async |_| ());
        let database = database.database();
        fail_commits(database, "outbox", "NEW.message_key = 'refused'");
        let insert = |key: &str| {
            let message = OutboxMessage {
                event_id: "event".to_owned(), topic: "topic".to_owned(), message_key: key.to_owned(), headers: "[]".to_owned(), body: "{}".to_owned(),
            };
            let mut written = 0;
            let result = database.write(|connection| {
                leave_in_outbox(connection, &message, 1)?;
                written += 1;
                Ok(())
            });
            (written, result)
        };
        let (written, refused) = insert("refused");
        assert_eq!(written, 1, "the row was written, in one attempt");
        assert!(refused.expect_err("the COMMIT fails").is_refusal());
        assert_eq!(count(database, "outbox"), 0);
        // The connection is of use afterwards.
        insert("good").1.expect("commits");
        let_commits_succeed(database, "outbox");
        insert("refused").1.expect("commits");
        assert_eq!(count(database, "outbox"), 2);
    }

    fn a_claim_whose_commit_fails_is_not_published_and_its_neighbours_are_once(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            fail_commits(database.database(), "claims", "NEW.plan_group = 'REFUSED'");
            let refused = json!([line(&[("plan_group", json!("REFUSED"))])]);
            let mut posts = JoinSet::new();
            for n in 0..20 {
                let (service, refused) = (service.clone(), refused.clone());
                posts.spawn(async move {
                    if n == 10 { service.post_with_key("key", &refused).await } else { service.post(&claim(PROVIDERS[0], "1.00")).await }
                });
            }
            let (stored, failed): (Vec<_>, Vec<_>) = posts.join_all().await.into_iter().partition(|answer| answer.status == 201);
            assert_eq!(failed.iter().map(|answer| answer.problem(500)).collect::<Vec<_>>(), ["internal"]);
            let stored: BTreeSet<&str> = stored.iter().map(|answer| answer.body["id"].as_str().expect("an id")).collect();
            assert_eq!(stored.len(), 19);

            let published = published_so_far(&service, &kafka).await;
            assert_eq!(published.len(), 19, "{published:?}");
            assert_eq!(published.iter().map(|event| event.key.as_str()).collect::<BTreeSet<_>>(), stored);
            assert_eq!(count(database.database(), "claims WHERE plan_group = 'REFUSED'"), 0);

            // The key is free, and what was refused is stored and published when the COMMIT succeeds.
            let_commits_succeed(database.database(), "claims");
            let answer = service.post_with_key("key", &refused).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
            assert_eq!(only_published(&service, &kafka).await.key, answer.body["id"]);
        });
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (2_900, 20));
    }

    fn a_void_whose_commit_fails_is_not_published(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            assert_eq!(only_published(&service, &kafka).await.key, id);
            let before = service.claim(&id).await;
            fail_commits(database.database(), "outbox", "NEW.event_id LIKE '%.claim.void_requested.%'");
            assert_eq!(void(&service, &id).await.problem(500), "internal");
            let published = published_so_far(&service, &kafka).await;
            assert!(published.is_empty(), "{published:?}");
            assert_eq!(service.claim(&id).await, before);

            let_commits_succeed(database.database(), "outbox");
            assert_eq!(void(&service, &id).await.status, 202);
            let event = only_published(&service, &kafka).await;
            assert_eq!(event.key, id);
            assert!(matches!(event.decode().1, ClaimEvent::VoidRequested(_)), "{event:?}");
        });
    }

    fn an_unsolicited_outcome_whose_commit_fails_is_not_answered(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            settings.kafka.consumer.max_attempts = 2;
        };
        with_settings(database, change, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            assert_eq!(only_published(&service, &kafka).await.key, id);
            fail_commits(database.database(), "outbox", "NEW.event_id LIKE '%.claim.outcome_recorded.%'");
            let outcome = PaymentEvent::Unwound(Unwound { unsolicited: true, ..unwound(&id) });
            kafka.outcome(1, &outcome);
            // The consumer has tried as often as it may.
            eventually("it is a dead letter", async || (count(database.database(), "dead_letters") == 1).then_some(())).await;
            let published = published_so_far(&service, &kafka).await;
            assert!(published.is_empty(), "{published:?}");
            assert_eq!(service.claim(&id).await["status"], "submitted");
            assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (8_125, 1));

            let_commits_succeed(database.database(), "outbox");
            kafka.outcome(1, &outcome);
            eventually("the claim is unwound", async || (service.claim(&id).await["status"] == "unwound").then_some(())).await;
            let event = only_published(&service, &kafka).await;
            let ClaimEvent::OutcomeRecorded(recorded) = event.decode().1 else { panic!("{event:?}") };
            assert_eq!((recorded.claim_id, recorded.known_outcome), (id, KnownOutcome { kind: OutcomeKind::Unwound, version: 1 }));
        });
    }

    fn an_outcome_is_logged_and_counted_once_it_is_committed(database: &TestDatabase) {
        let mut id = String::new();
        with_service(database, async |service| id = service.accepted(&claim(PROVIDERS[0], "81.25")).await);
        let database = database.database();
        let kafka = KafkaSettings { brokers: "127.0.0.1:1".to_owned(), ..Settings::default().kafka };
        let relay = Relay::start(database, &kafka).expect("starts");
        let mut outcomes = Outcomes::new(Arc::clone(&relay));
        let Encoded { key, headers, body, .. } = encoded(1, &settled(&id, 8_125));
        let message = IncomingMessage {
            topic: PAYMENT_TOPIC.to_owned(),
            partition: 0,
            offset: 1,
            time_ms: 1,
            key: Some(key.into_bytes()),
            headers: headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
            body: body.into_bytes(),
        };
        let applied = Tally::of("outcomes_applied_total");
        let _counting = metrics::set_default_local_recorder(&applied);
        fail_commits(database, "claim_timeline", "true");
        assert!(outcomes.handle(std::slice::from_ref(&message)).expect_err("the COMMIT fails").is_refusal());
        assert_eq!((applied.total(), count(database, "claims WHERE status = 'settled'")), (0, 0));
        let_commits_succeed(database, "claim_timeline");
        outcomes.handle(std::slice::from_ref(&message)).expect("commits");
        assert_eq!((applied.total(), count(database, "claims WHERE status = 'settled'")), (1, 1));
        relay.stop();
    }

    fn a_rerequest_whose_commit_fails_is_not_published(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            kafka.published(1).await;
        });
        // The service has stopped: nothing but the calls below re-requests the claim.
        let mut settings = Settings::default();
        kafka.configure(&mut settings);
        let database = database.database();
        let relay = Relay::start(database, &settings.kafka).expect("starts");
        let overdue = |resync_epoch: i64| {
            let sql = format!("UPDATE claims SET next_attempt_at_us = 1, request_count = 0, resync_epoch = {resync_epoch}");
            database.write(|connection| execute(connection, &sql)).expect("writes");
        };
        overdue(4);
        fail_commits(database, "outbox", "NEW.event_id LIKE '%.claim.submitted.%'");
        assert!(request_overdue_outcomes(database, &relay, &settings.watchdog).expect_err("the COMMIT fails").is_refusal());
        assert_eq!(count(database, "claims WHERE next_attempt_at_us = 1 AND request_count = 0"), 1, "it is as overdue as before");
        let_commits_succeed(database, "outbox");
        overdue(5);
        assert_eq!(request_overdue_outcomes(database, &relay, &settings.watchdog).expect("commits"), 1);
        // Both would have come from one producer into one partition, in the order in which they were handed to it.
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let event = runtime.block_on(kafka.published(1)).remove(0);
        let ClaimEvent::Submitted(body) = event.decode().1 else { panic!("{event:?}") };
        assert_eq!(body.resync_epoch, 5, "the first that comes is the one that was committed");
        assert_eq!(number(database, "SELECT request_count AS n FROM claims"), 1);
        relay.stop();
    }
}
