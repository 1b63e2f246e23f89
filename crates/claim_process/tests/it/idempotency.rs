//! `Idempotency-Key` and `external_claim_id`: repeats make no second claim, and what contradicts is refused.

use crate::service::Second;
use crate::service::with_settings;
use crate::service::{Answer, PROVIDERS, REAL_CLAIM, assert_totals_agree, claim, line, with_service};
use claim_process::claims::key_purge::purge;
use claim_process::claims::store::store;
use claim_process::claims::submission::{IdempotencyKey, Origin, Submission, Submitted};
use claim_process::db;
use claim_process::db::idempotency::{NewKey, claim_keys, forget};
use claim_process::domain::identifiers::ClaimId;
use claim_process::domain::limits::Limits;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule::Severity;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::{ReadLimits, read_json};
use claim_process::settings::{IdempotencySettings, Settings};
use dual_db::Connection;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use test_support::{PATIENCE, TestDatabase, count, eventually, execute, number, on_both_databases, wait_until};
use tokio::task::JoinSet;

/// What another instance hands to the database, by the default rules.
fn submission(body: &Value, key: Option<&str>) -> Submission {
    let body = body.to_string();
    let form = read_json(body.as_bytes(), ReadLimits::default()).unwrap();
    let rules = RuleSet::new(default_severities(), Limits::default(), None);
    let (claim, warnings) = rules.accept(&form, jiff::Timestamp::now()).unwrap();
    let body_hash = format!("{:x}", Sha256::digest(&body));
    Submission {
        claim_id: ClaimId::random(),
        duplicate_check: None,
        claim,
        warnings,
        idempotency: key.map(|key| IdempotencyKey { key: key.to_owned(), body_hash }),
        origin: Origin { correlation_id: "request".to_owned(), traceparent: None },
    }
}

/// Stores it in a transaction that is open until it may commit, and returns when that is open.
fn store_slowly(database: &TestDatabase, submission: Submission) -> (Sender<()>, JoinHandle<dual_db::Result<()>>) {
    let (storing, is_storing) = channel();
    let (commit, may_commit) = channel();
    let database = database.database().clone();
    let stored = std::thread::spawn(move || {
        database.write(|connection| {
            let now_us = connection.now_us()?;
            store(connection, std::slice::from_ref(&submission), now_us, now_us + 60_000_000)?;
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
            // Another key, or none, is another claim.
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

    fn keys_are_forgotten_when_they_are_old_and_no_sooner(database: &TestDatabase) {
        let settings = Settings::default().idempotency;
        with_service(database, async |service| {
            for key in ["a", "b", "c", "young"] {
                assert_eq!(service.post_with_key(key, &claim(PROVIDERS[0], "1.00")).await.status, 201);
            }
            let hour_us = 3_600_000_000_i64;
            let old = i64::try_from(settings.keep_hours).expect("few") * hour_us + hour_us;
            database.database().write(|connection| execute(connection, &format!(
                "UPDATE idempotency_keys SET created_at_us = created_at_us - {old} WHERE idempotency_key <> 'young'"
            ))).expect("writes");
            let two = IdempotencySettings { max_keys_a_purge: 2, ..settings.clone() };
            assert_eq!(purge(database.database(), &two).expect("purges"), 2);
            assert_eq!(purge(database.database(), &two).expect("purges"), 1);
            assert_eq!(purge(database.database(), &two).expect("purges"), 0);
            assert_eq!(service.post_with_key("young", &claim(PROVIDERS[0], "1.00")).await.status, 200);
            assert_eq!(service.post_with_key("a", &claim(PROVIDERS[0], "1.00")).await.status, 201);
        });
        assert_eq!(count(database.database(), "claims"), 5);
    }

    fn a_key_is_kept_to_the_end_of_its_lifetime_and_purged_after_it(database: &TestDatabase) {
        let settings = Settings::default().idempotency;
        with_service(database, async |service| {
            let paid = claim(PROVIDERS[0], "1.00");
            for key in ["younger", "older"] {
                assert_eq!(service.post_with_key(key, &paid).await.status, 201);
            }
            let lifetime_us = i64::try_from(settings.keep_hours).expect("few") * 3_600_000_000;
            database.database().write(|connection| {
                // The younger one is still young when this test ends.
                let oldest_us = connection.now_us()? - lifetime_us;
                let younger_us = oldest_us + i64::try_from(PATIENCE.as_micros()).expect("few");
                for (key, created_at_us) in [("younger", younger_us), ("older", oldest_us - 1)] {
                    execute(connection, &format!(
                        "UPDATE idempotency_keys SET created_at_us = {created_at_us} WHERE idempotency_key = '{key}'"
                    ))?;
                }
                Ok(())
            }).expect("writes");
            assert_eq!(purge(database.database(), &settings).expect("purges"), 1);
            assert_eq!(service.post_with_key("younger", &paid).await.status, 200);
            assert_eq!(service.post_with_key("older", &paid).await.status, 201);
        });
    }

    fn all_keys_that_are_too_old_are_purged_at_the_start_however_few_at_once(database: &TestDatabase) {
        with_service(database, async |service| {
            for key in ["a", "b", "c", "young"] {
                assert_eq!(service.post_with_key(key, &claim(PROVIDERS[0], "1.00")).await.status, 201);
            }
        });
        database.database().write(|connection| {
            execute(connection, "UPDATE idempotency_keys SET created_at_us = 1 WHERE idempotency_key <> 'young'")
        }).expect("writes");
        let one_by_one = |settings: &mut Settings| {
            settings.idempotency.max_keys_a_purge = 1;
            // The next look is not in this test.
            settings.idempotency.purge_interval_s = 86_400;
        };
        with_settings(database, one_by_one, async |service| {
            eventually("the old keys are purged", async || {
                (count(database.database(), "idempotency_keys") == 1).then_some(())
            })
            .await;
            assert_eq!(service.post_with_key("young", &claim(PROVIDERS[0], "1.00")).await.status, 200);
        });
    }

    fn the_oldest_keys_are_forgotten_up_to_a_time_and_not_at_it(database: &TestDatabase) {
        with_service(database, async |_| ());
        let database = database.database();
        let key = |name: &str, created_at_us| NewKey {
            idempotency_key: name.to_owned(), body_hash: String::new(), claim_id: name.to_owned(), created_at_us,
        };
        let keys = [key("after", 1_001), key("at", 1_000), key("before", 999), key("long-before", 1)];
        database.write(|connection| claim_keys(connection, &keys)).expect("writes");
        let left = |name: &str| count(database, &format!("idempotency_keys WHERE idempotency_key = '{name}'")) == 1;
        assert_eq!(database.write(|connection| forget(connection, 1_000, 1)).expect("forgets"), 1);
        assert_eq!(["after", "at", "before", "long-before"].map(left), [true, true, true, false]);
        assert_eq!(database.write(|connection| forget(connection, 1_000, 9)).expect("forgets"), 1);
        assert_eq!(["after", "at", "before", "long-before"].map(left), [true, true, false, false]);
        assert_eq!(database.write(|connection| forget(connection, 1_000, 9)).expect("forgets"), 0);
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
                    // A key that nobody used stays so.
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
                for (keys, said) in [
                    (&["a b"][..], "printable ASCII"), (&["a\tb"], "printable ASCII"), (&["a, b"], "printable ASCII"),
                    (&[""], "printable ASCII"), (&["a", "b"], "more than once"), (&["a", "a"], "more than once"),
                ] {
                    let request = service.request(Method::POST, path).json(&json!([paid]));
                    let request = keys.iter().fold(request, |request, key| request.header("idempotency-key", *key));
                    let answer = Answer::of(request).await;
                    assert_eq!(answer.problem(400), "malformed", "{path} {keys:?}");
                    assert!(answer.body["detail"].as_str().unwrap().contains(said), "{}", answer.body);
                }
            }
            assert_eq!(count(database.database(), "claims"), 0);
            assert_eq!(service.post_with_key("!~", &paid).await.status, 201);
            // Blanks around a header's value are not of it.
            assert_eq!(service.post_with_key(" !~\t", &paid).await.status, 200);
        });
    }

    fn only_who_sent_a_key_is_told_to_send_again_with_it(database: &TestDatabase) {
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

    fn an_external_id_belongs_to_one_claim_and_a_conflict_frees_the_key(database: &TestDatabase) {
        let named = |id: &str, net_fee: &str| -> Value {
            let mut claim = claim(PROVIDERS[0], net_fee);
            claim["external_claim_id"] = json!(id);
            claim
        };
        with_service(database, async |service| {
            let first = service.post_with_key("key-1", &named("A-17", "1.00")).await;
            assert_eq!((first.status, &first.body["external_claim_id"]), (201, &json!("A-17")));
            for key in ["key-2", "key-2"] {
                let conflict = service.post_with_key(key, &named("A-17", "2.00")).await;
                assert_eq!(conflict.problem(409), "external-claim-id-taken");
                assert_eq!(conflict.body["claim_id"], first.body["id"]);
                assert!(
                    conflict.body["detail"].as_str().unwrap().contains(first.header("location")),
                    "{}",
                    conflict.body
                );
            }
            // Nothing came of the key, so it can be used for the claim put right.
            let right = service.post_with_key("key-2", &named("A-18", "2.00")).await;
            assert_eq!(right.status, 201, "{}", right.body);
            // The same request again is a repeat, and no conflict with itself.
            let again = service.post_with_key("key-1", &named("A-17", "1.00")).await;
            assert_eq!((again.status, again.body), (200, first.body));
        });
        assert_eq!(count(database.database(), "claims"), 2);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (300, 2));
    }

    fn an_external_id_that_another_instance_takes_meanwhile_refuses_one_claim_of_its_group(database: &TestDatabase) {
        let tables = database.database();
        tables.migrate(&[&event_bus::MIGRATIONS, &db::MIGRATIONS]).expect("the tables are made");
        let mut named = claim(PROVIDERS[0], "1.00");
        named["external_claim_id"] = json!("A-17");
        let first = submission(&named, None);
        let first_id = first.claim_id.as_str().to_owned();
        let (commit, stored) = store_slowly(database, first);

        let group = [submission(&named, Some("key")), submission(&claim(PROVIDERS[1], "2.00"), None)];
        let (other, mut runs) = (tables.clone(), 0);
        let second = std::thread::spawn(move || {
            let results = other.write(|connection| {
                runs += 1;
                store(connection, &group, 1_000_000, 2_000_000).map(|group| group.results)
            });
            (runs, results)
        });
        // SQLite lets one write at a time, so that nothing can happen meanwhile.
        if tables.read(|connection| Ok(matches!(connection, Connection::Postgres(_)))).expect("it answers") {
            let waiting = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
                           AND wait_event_type = 'Lock'";
            wait_until("the group waits for the id", || number(tables, waiting) == 1);
        }
        commit.send(()).expect("it is open");
        stored.join().expect("no panic").expect("is stored");
        let (runs, results) = second.join().expect("no panic");
        let results = results.expect("the group is stored");
        assert!(
            matches!(&results[..], [Submitted::ExternalIdTaken { claim_id }, Submitted::Accepted(_)] if *claim_id == first_id),
            "{results:?}"
        );
        assert_eq!(runs, 1, "its neighbours are not stored again");
        assert_eq!((count(tables, "claims"), count(tables, "idempotency_keys")), (2, 0));
        assert_totals_agree(tables);
    }

    fn an_external_id_in_lines_is_one_for_the_claim_and_blanks_do_not_take_it_away(database: &TestDatabase) {
        with_service(database, async |service| {
            let named = |id: Value| line(&[("external_claim_id", id)]);
            for lines in [
                json!({"external_claim_id": "J-1", "lines": [named(Value::Null), named(json!(" J-1 "))]}),
                json!([named(json!("")), named(json!("J-2")), named(json!(""))]),
            ] {
                let answer = service.post(&lines).await;
                assert!(answer.body["external_claim_id"].as_str().is_some_and(|id| id.starts_with("J-")), "{}", answer.body);
            }
            let csv = |first: &str, second: &str| {
                let row = "2018-03-28,D0180,GRP-1000,3730189502,1497775530,10.00,0.00,0.00,0.00";
                format!(
                    "claim number,service date,procedure,plan group,subscriber,npi,provider fees,allowed fees,coinsurance,\
                     copay\n{first},{row}\n{second},{row}\n"
                )
            };
            assert_eq!(service.post_csv(&csv("C-1", "")).await.body["external_claim_id"], "C-1");
            let answer = service.post_csv(&csv("C-2", "C-3")).await;
            let error = &answer.body["errors"][0];
            assert_eq!((answer.problem(422), &error["code"], &error["line"]), ("claim-refused", &json!("contradiction"), &json!(2)));
            let answer = service.post(&json!([named(json!("J-3")), named(json!("J-4"))])).await;
            assert_eq!(answer.body["errors"][0]["pointer"], "/1/external_claim_id");
        });
    }

    fn many_posts_of_one_external_id_at_once_make_one_claim(database: &TestDatabase) {
        with_service(database, async |service| {
            let mut posts = JoinSet::new();
            for n in 0..20 {
                let service = service.clone();
                let mut claim = claim(PROVIDERS[2], "3.00");
                claim["external_claim_id"] = json!("A-17");
                // Half of them with a key of their own: a key must not outlive the conflict of its claim.
                posts.spawn(async move {
                    if n % 2 == 0 {
                        service.post(&claim).await
                    } else {
                        service.post_with_key(&format!("key-{n}"), &claim).await
                    }
                });
            }
            let answers = posts.join_all().await;
            let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
            assert_eq!(made.len(), 1, "{answers:#?}");
            for answer in answers.iter().filter(|answer| answer.status != 201) {
                assert_eq!(answer.problem(409), "external-claim-id-taken");
                assert_eq!(answer.body["claim_id"], made[0].body["id"]);
            }
        });
        assert_eq!(count(database.database(), "claims"), 1);
        assert!(count(database.database(), "idempotency_keys") <= 1);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[2]], (300, 1));
    }
}
