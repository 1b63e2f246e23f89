//! `Idempotency-Key`: a repeat makes no second claim, and another body under the key is refused.

use crate::service::{
    Answer, PROVIDERS, REAL_CLAIM, Second, assert_totals_agree, claim, line, with_service, with_settings,
};
use claim_process::claims::store::{Times, store};
use claim_process::claims::submission::{IdempotencyKey, Origin, Submission};
use claim_process::domain::identifiers::random_claim_id;
use claim_process::domain::limits::Limits;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule::Severity;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::{ReadLimits, read_json};
use claim_process::settings::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use test_support::{TestDatabase, count, execute, on_both_databases};
use tokio::task::JoinSet;

/// A claim as another instance submits it, by the default rules.
pub fn submission(body: &Value, key: Option<&str>) -> Submission {
    let body = body.to_string();
    let raw_claim = read_json(body.as_bytes(), ReadLimits::default()).unwrap();
    let rules = RuleSet::new(default_severities(), Limits::default(), None);
    let (claim, warnings) = rules.accept(&raw_claim, jiff::Timestamp::now()).unwrap();
    let body_hash = format!("{:x}", Sha256::digest(&body));
    Submission {
        claim_id: random_claim_id(),
        duplicate_check: None,
        claim,
        warnings,
        idempotency: key.map(|key| IdempotencyKey { key: key.to_owned(), body_hash }),
        origin: Origin { correlation_id: "request".to_owned(), traceparent: None },
    }
}

/// Stores it in a transaction that is open until it may commit, and returns when that is open.
pub fn store_slowly(database: &TestDatabase, submission: Submission) -> (Sender<()>, JoinHandle<dual_db::Result<()>>) {
    let (storing, is_storing) = channel();
    let (commit, may_commit) = channel();
    let database = database.database().clone();
    let stored = std::thread::spawn(move || {
        database.write(|connection| {
            let now_us = connection.now_us()?;
            store(connection, std::slice::from_ref(&submission), Times::at(now_us, 60_000_000))?;
            let _ = storing.send(());
            let _ = may_commit.recv_timeout(Duration::from_secs(60));
            Ok(())
        })
    });
    is_storing.recv().expect("it stores");
    (commit, stored)
}

on_both_databases! {
    fn a_repeat_gets_the_first_answer_and_another_body_is_refused(database: &TestDatabase) {
        with_service(database, async |service| {
            let paid = claim(PROVIDERS[0], "116.85");
            let first = service.post_with_key("key-1", &paid).await;
            assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
            for _ in 0..2 {
                let again = service.post_with_key("key-1", &paid).await;
                assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
                assert_eq!(again.body, first.body);
                assert!(!again.header("x-request-id").is_empty());
            }
            // A blank more is another body: it is the bytes that were sent that count.
            let other = format!("{paid} ");
            let answer = Answer::of(
                service
                    .claims()
                    .header("idempotency-key", "key-1")
                    .header("content-type", "application/json")
                    .body(other),
            )
            .await;
            assert_eq!(answer.problem(422), "idempotency-key-reused");
            assert!(!answer.body.to_string().contains("3730189502"), "{}", answer.body);
            // Another key, or no key, makes another claim.
            assert_eq!(service.post_with_key("key-2", &paid).await.status, 201);
            assert_eq!(service.post(&paid).await.status, 201);
            let csv = async || Answer::of(service.claims().header("idempotency-key", "csv").body(REAL_CLAIM)).await;
            let (first, again) = (csv().await, csv().await);
            assert_eq!((first.status, again.status), (201, 200));
            assert_eq!(first.body, again.body);
        });
        assert_eq!(count(database.database(), "claims"), 4);
        assert_eq!(count(database.database(), "outbox"), 4);
        assert_totals_agree(database.database());
    }

    fn a_repeat_gets_the_first_answer_also_when_the_claim_has_its_outcome(database: &TestDatabase) {
        with_service(database, async |service| {
            let odd = json!({"external_claim_id": "A-17", "lines": [line(&[("tooth", json!("14"))])]});
            let first = service.post_with_key("key-1", &odd).await;
            assert_eq!(first.status, 201);
            let id = first.body["id"].as_str().unwrap();
            database.database().write(|connection| {
                execute(connection, &format!(
                    "UPDATE claims SET status = 'settled', needs_attention = TRUE, outcome_type = 'payment.settled', \
                     outcome_version = 1, outcome_at_us = 5, \
                     outcome = '{{\"claim_id\":\"{id}\",\"claim_version\":1,\"resync_epoch\":0,\
                     \"unsolicited\":false,\"amount_cents\":1000,\"transfer_ids\":[\"t\"]}}' WHERE claim_id = '{id}'"
                ))?;
                execute(
                    connection,
                    "INSERT INTO claim_timeline (claim_key, at_us, event) \
                     SELECT id, 5, 'payment.settled' FROM claims",
                )
            }).unwrap();
            let now = service.claim(id).await;
            assert_eq!((&now["status"], &now["outcome"]["amount"]), (&json!("settled"), &json!("10.00")));
            let again = service.post_with_key("key-1", &odd).await;
            assert_eq!(again.status, 200);
            assert_eq!(again.body, first.body);
        });
    }

    fn many_posts_of_one_key_at_once_make_one_claim(database: &TestDatabase) {
        with_service(database, async |service| {
            for round in 0..5 {
                let key = format!("key-{round}");
                let mut posts = JoinSet::new();
                for _ in 0..20 {
                    let (service, key) = (service.clone(), key.clone());
                    posts.spawn(async move { service.post_with_key(&key, &claim(PROVIDERS[1], "5.00")).await });
                }
                let answers = posts.join_all().await;
                assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:#?}");
                let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
                assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
                assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 19, "{statuses:?}");
            }
        });
        for table in ["claims", "claim_lines", "outbox", "idempotency_keys"] {
            assert_eq!(count(database.database(), table), 5, "{table}");
        }
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[1]], (2_500, 5));
    }

    fn one_key_and_one_external_id_over_two_instances_make_one_claim_each(database: &TestDatabase) {
        with_service(database, async |first| {
            let second = Second::start(database);
            let at_once = async |named: bool| {
                let mut posts = JoinSet::new();
                for n in 0..50 {
                    let service = if n % 2 == 0 { first.clone() } else { second.service.clone() };
                    posts.spawn(async move {
                        let mut claim = claim(PROVIDERS[1], "5.00");
                        if named {
                            claim["external_claim_id"] = json!("A-17");
                            service.post(&claim).await
                        } else {
                            service.post_with_key("key", &claim).await
                        }
                    });
                }
                posts.join_all().await
            };
            let answers = at_once(false).await;
            assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:#?}");
            let made = |answers: &[Answer], status| answers.iter().filter(|answer| answer.status == status).count();
            assert_eq!((made(&answers, 201), made(&answers, 200)), (1, 49));
            let answers = at_once(true).await;
            assert_eq!((made(&answers, 201), made(&answers, 409)), (1, 49), "{answers:#?}");
            second.stop();
        });
        assert_eq!(count(database.database(), "claims"), 2);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[1]], (1_000, 2));
    }

    fn many_bodies_under_one_key_at_once_make_one_claim(database: &TestDatabase) {
        with_service(database, async |service| {
            let mut posts = JoinSet::new();
            for n in 0..20 {
                let service = service.clone();
                posts
                    .spawn(async move { service.post_with_key("key", &claim(PROVIDERS[1], &format!("{n}.00"))).await });
            }
            let mut statuses: Vec<u16> = posts.join_all().await.iter().map(|answer| answer.status).collect();
            statuses.sort_unstable();
            assert_eq!(statuses[0], 201);
            assert!(statuses[1..].iter().all(|status| *status == 422), "{statuses:?}");
        });
        assert_eq!(count(database.database(), "claims"), 1);
    }

    fn a_refused_claim_leaves_its_key_free(database: &TestDatabase) {
        with_service(database, async |service| {
            let bad = json!([line(&[("provider_npi", json!("1"))])]);
            assert_eq!(service.post_with_key("key", &bad).await.problem(422), "claim-refused");
            assert_eq!(service.post_with_key("key", &claim(PROVIDERS[0], "1.00")).await.status, 201);
        });
        assert_eq!(count(database.database(), "claims"), 1);
    }

    fn a_repeat_gets_the_first_answer_also_when_it_would_be_refused_by_now(database: &TestDatabase) {
        let paid = json!({"lines": [line(&[("provider_npi", json!("1234567890"))])]});
        let other = json!({"lines": [line(&[("provider_npi", json!("1234567890")), ("provider_fees", json!("11.00"))])]});
        let mut first = None;
        with_service(database, async |service| {
            let answer = service.post_with_key("key-1", &paid).await;
            assert_eq!((answer.status, &answer.body["warnings"][0]["code"]), (201, &json!("npi_checksum")));
            first = Some(answer);
        });
        let first = first.expect("was answered");
        let stricter = |settings: &mut Settings| {
            settings.rules.insert("npi_checksum".to_owned(), Severity::Reject);
        };
        let later = |settings: &mut Settings| settings.checks.max_service_age_days = 30;
        for (code, change) in [("npi_checksum", &stricter as &dyn Fn(&mut Settings)), ("service_date_age", &later)] {
            with_settings(database, change, async |service| {
                let again = service.post_with_key("key-1", &paid).await;
                assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{}", again.body);
                assert_eq!(again.body, first.body);
                assert_eq!(service.post_with_key("key-1", &other).await.problem(422), "idempotency-key-reused");
                for _ in 0..2 {
                    // A key that was not used stays unused.
                    let refused = service.post_with_key("key-2", &paid).await;
                    assert_eq!((refused.problem(422), &refused.body["errors"][0]["code"]), ("claim-refused", &json!(code)));
                }
                assert_eq!(service.post(&paid).await.problem(422), "claim-refused");
            });
        }
        assert_eq!((count(database.database(), "claims"), count(database.database(), "idempotency_keys")), (1, 1));
    }

    fn a_repeat_that_would_be_refused_waits_for_the_first_request(database: &TestDatabase) {
        with_settings(database, |settings| settings.checks.max_service_age_days = 30, async |service| {
            let first = submission(&claim(PROVIDERS[0], "5.00"), Some("key"));
            let claim_id = first.claim_id.as_str().to_owned();
            let (commit, stored) = store_slowly(database, first);
            let paid = claim(PROVIDERS[0], "5.00");
            let mut again = Box::pin(service.post_with_key("key", &paid));
            let early = tokio::time::timeout(Duration::from_millis(700), &mut again).await;
            assert!(early.is_err(), "it waits: {early:?}");
            commit.send(()).expect("it is open");
            let again = again.await;
            stored.join().expect("no panic").expect("is stored");
            assert_eq!((again.status, again.body["id"].as_str()), (200, Some(claim_id.as_str())), "{}", again.body);
        });
        assert_eq!(count(database.database(), "idempotency_keys"), 1);
    }

    fn a_key_is_one_word_and_sent_once(database: &TestDatabase) {
        with_service(database, async |service| {
            let paid = claim(PROVIDERS[0], "1.00");
            for path in ["/v1/claims", "/v1/claims/batch"] {
                for (keys, detail) in [
                    (&["a b"][..], "printable ASCII"), (&["a\tb"], "printable ASCII"), (&["a, b"], "printable ASCII"),
                    (&[""], "printable ASCII"), (&["a", "b"], "more than once"), (&["a", "a"], "more than once"),
                ] {
                    let request = service.request(Method::POST, path).json(&json!([paid]));
                    let request = keys.iter().fold(request, |request, key| request.header("idempotency-key", *key));
                    let answer = Answer::of(request).await;
                    assert_eq!(answer.problem(400), "malformed", "{path} {keys:?}");
                    assert!(answer.body["detail"].as_str().unwrap().contains(detail), "{}", answer.body);
                }
            }
            assert_eq!(count(database.database(), "claims"), 0);
            assert_eq!(service.post_with_key("!~", &paid).await.status, 201);
            // Blanks around a header's value are not of it.
            assert_eq!(service.post_with_key(" !~\t", &paid).await.status, 200);
        });
    }

    fn only_a_request_with_a_key_is_advised_to_repeat_it(database: &TestDatabase) {
        with_settings(database, |settings| settings.ingest.answer_timeout_ms = 200, async |service| {
            let mut named = claim(PROVIDERS[0], "5.00");
            named["external_claim_id"] = json!("A-17");
            let (commit, stored) = store_slowly(database, submission(&named, None));
            for path in ["/v1/claims", "/v1/claims/batch"] {
                for key in [None, Some("key")] {
                    let body = if path == "/v1/claims" { named.clone() } else { json!([named]) };
                    let request = service.request(Method::POST, path).json(&body);
                    let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
                    let answer = Answer::of(request).await;
                    assert_eq!(answer.problem(503), "unavailable", "{path}");
                    let detail = answer.body["detail"].as_str().unwrap();
                    assert_eq!(detail.contains("with the same Idempotency-Key"), key.is_some(), "{path}: {detail}");
                    assert_eq!(detail.contains("GET /v1/claims"), key.is_none(), "{path}: {detail}");
                }
            }
            commit.send(()).expect("it is open");
            stored.join().expect("no panic").expect("is stored");
        });
        assert_eq!(count(database.database(), "claims"), 1);
    }
}
