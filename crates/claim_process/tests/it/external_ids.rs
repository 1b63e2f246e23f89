//! `external_claim_id`: one claim for each id of its sender's, and a conflict leaves nothing behind.

use crate::idempotency::{store_slowly, submission};
use crate::service::{Answer, PROVIDERS, assert_totals_agree, claim, line, with_service};
use claim_process::claims::store::{Times, store};
use claim_process::claims::submission::Submitted;
use claim_process::db;
use dual_db::Connection;
use serde_json::{Value, json};
use test_support::{TestDatabase, count, number, on_both_databases, wait_until};
use tokio::task::JoinSet;

on_both_databases! {
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
            // The key made no claim, so it can be used for the corrected claim.
            let right = service.post_with_key("key-2", &named("A-18", "2.00")).await;
            assert_eq!(right.status, 201, "{}", right.body);
            // The same request again is a repeat, and no conflict with itself.
            let again = service.post_with_key("key-1", &named("A-17", "1.00")).await;
            assert_eq!((again.status, again.body), (200, first.body));
        });
        assert_eq!(count(database.database(), "claims"), 2);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (300, 2));
    }

    fn an_external_id_is_compared_and_listed_by_its_canonical_form_and_shown_as_sent(database: &TestDatabase) {
        let named = |id: &str, net_fee: &str| -> Value {
            let mut claim = claim(PROVIDERS[0], net_fee);
            claim["external_claim_id"] = json!(id);
            claim
        };
        with_service(database, async |service| {
            let first = service.post(&named("Ab\u{2011}17", "1.00")).await;
            assert_eq!((first.status, &first.body["external_claim_id"]), (201, &json!("Ab\u{2011}17")));
            // The last one has a Cyrillic A.
            for spelling in ["Ab\u{2011}17", "AB-17", "ab-17", "\u{ff21}b-17", "\u{410}B-17"] {
                let conflict = service.post(&named(spelling, "2.00")).await;
                assert_eq!(conflict.problem(409), "external-claim-id-taken", "{spelling}");
                assert_eq!(conflict.body["claim_id"], first.body["id"]);
            }
            let other = service.post(&named("AB-l7", "2.00")).await;
            assert_eq!(other.status, 201, "{}", other.body);
            let listed = service.get("/v1/claims?external_claim_id=AB-17").await.body;
            assert_eq!((listed["claims"].as_array().unwrap().len(), &listed["claims"][0]["id"]), (1, &first.body["id"]));
        });
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
                store(connection, &group, Times::at(1_000_000, 1_000_000)).map(|group| group.results)
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
