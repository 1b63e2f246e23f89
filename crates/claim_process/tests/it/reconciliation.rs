//! The reconciliation: sums that add up, and each kind of disagreement, planted and named.

use crate::kafka::{Kafka, connect_to, settled, unwound};
use crate::service::{Answer, PROVIDERS, Service, claim, with_service, with_settings};
use claim_events::PaymentEvent;
use dual_db::Database;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{TestDatabase, count, eventually, execute, free_address, on_both_databases};

const MICROSECONDS: i64 = 1_000_000;

async fn reconciled(service: &Service) -> Value {
    let answer = service.get("/v1/reconciliation").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn plant(database: &Database, sql: &str) {
    database.write(|connection| execute(connection, sql)).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// Ends a claim as its outcome would, without Kafka.
fn settle(database: &Database, id: &str, amount_cents: i64) {
    let outcome = format!("{{\"claim_id\":\"{id}\",\"amount_cents\":{amount_cents},\"transfer_ids\":[]}}");
    plant(
        database,
        &format!(
            "UPDATE claims SET status = 'settled', outcome_type = 'payment.settled', outcome_version = 1, outcome_at_us = 5,
             outcome = '{outcome}', next_attempt_at_us = NULL WHERE claim_id = '{id}'"
        ),
    );
}

/// The one disagreement: in words, and the claims or providers that it names.
async fn disagreement(service: &Service) -> (String, Vec<Value>) {
    let sums = reconciled(service).await;
    assert_eq!(sums["agrees"], false, "{sums}");
    let words: Vec<&str> = sums["disagreements"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(words.len(), 1, "{words:?}");
    let mut failing = sums["checks"].as_array().unwrap().iter().filter(|check| check["agrees"] == false);
    let check = failing.next().expect("one check does not agree");
    assert!(failing.next().is_none() && words[0].starts_with(check["name"].as_str().unwrap()), "{words:?}");
    assert_eq!(check["off"], check["named"].as_array().map(Vec::len).unwrap(), "{check}");
    (words[0].to_owned(), check["named"].as_array().unwrap().clone())
}

fn sum(claims: i64, net_fee: &str) -> Value {
    let cents: i64 = net_fee.replace('.', "").parse().unwrap();
    json!({"claims": claims, "net_fee": net_fee, "net_fee_cents": cents})
}

on_both_databases! {
    fn the_reconciliation_adds_up_and_reports_what_is_unpublished(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let nothing = service.get("/v1/reconciliation").await;
            assert_eq!((nothing.status, &nothing.body["agrees"]), (200, &json!(true)));
            assert_eq!(nothing.body["submitted"], json!({"claims": 0, "net_fee": "0.00", "net_fee_cents": 0}));
            assert_eq!(nothing.body["oldest_pending_age_s"], Value::Null);

            let mut ids = Vec::new();
            for fee in ["1.00", "20.00", "300.00"] {
                ids.push(service.accepted(&claim(PROVIDERS[0], fee)).await);
            }
            kafka.outcome(1, &settled(&ids[1], 2_000));
            kafka.outcome(1, &PaymentEvent::Unwound(unwound(&ids[2])));
            service.claim_with_status(&ids[1], "settled").await;
            service.claim_with_status(&ids[2], "unwound").await;
            let sums = eventually("all is published", async || {
                let body = service.get("/v1/reconciliation").await.body;
                (body["published"]["claims"] == 3).then_some(body)
            })
            .await;
            for (name, claims, fee) in [
                ("submitted", 3, "321.00"),
                ("published", 3, "321.00"),
                ("unpublished", 0, "0.00"),
                ("settled", 1, "20.00"),
                ("unwound", 1, "300.00"),
                ("pending", 1, "1.00"),
                ("needs_attention", 0, "0.00"),
            ] {
                assert_eq!((&sums[name]["claims"], &sums[name]["net_fee"]), (&json!(claims), &json!(fee)), "{name}");
            }
            assert!(sums["oldest_pending_age_s"].as_i64().is_some_and(|age| age >= 0), "{sums}");
            assert_eq!((&sums["agrees"], &sums["disagreements"]), (&json!(true), &json!([])));
        });
    }

    fn what_kafka_does_not_have_is_not_published(database: &TestDatabase) {
        with_service(database, async |service| {
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let sums = service.get("/v1/reconciliation").await.body;
            assert_eq!((&sums["submitted"]["claims"], &sums["published"]["claims"]), (&json!(1), &json!(0)));
            assert_eq!((&sums["unpublished"]["net_fee"], &sums["agrees"]), (&json!("1.00"), &json!(true)));
            assert!(sums["oldest_unpublished_age_s"].as_i64().is_some_and(|age| age >= 0), "{sums}");
        });
    }

    fn a_claim_voided_or_rerequested_before_kafka_had_it_is_unpublished(database: &TestDatabase) {
        let address = free_address().to_string();
        let change = |settings: &mut claim_process::settings::Settings| {
            connect_to(&address, settings);
            settings.watchdog.interval_ms = 20;
            settings.watchdog.first_pause_ms = 500;
        };
        // Outlives the service, which leaves its group when it stops.
        let mut kafka = None;
        with_settings(database, change, async |service| {
            let none_of_two = |sums: &Value| {
                assert_eq!((&sums["submitted"], &sums["published"]), (&sum(2, "21.00"), &sum(0, "0.00")), "{sums}");
                assert_eq!(sums["unpublished"], sum(2, "21.00"), "{sums}");
                assert!(sums["oldest_unpublished_age_s"].as_i64().is_some_and(|age| age >= 0), "{sums}");
            };
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let voided = service.accepted(&claim(PROVIDERS[0], "20.00")).await;
            let void = service.request(Method::POST, &format!("/v1/claims/{voided}/void"));
            assert_eq!(Answer::of(void.json(&json!({"reason": "sent by mistake"}))).await.status, 202);
            none_of_two(&reconciled(&service).await);
            eventually("both are re-requested twice", async || {
                (count(database.database(), "claims WHERE request_count >= 2") == 2).then_some(())
            })
            .await;
            none_of_two(&reconciled(&service).await);

            let _ = kafka.insert(Kafka::start_at(&address));
            let sums = eventually("both are published", async || {
                let sums = reconciled(&service).await;
                (sums["published"]["claims"] == 2).then_some(sums)
            })
            .await;
            assert_eq!((&sums["unpublished"], &sums["oldest_unpublished_age_s"]), (&sum(0, "0.00"), &Value::Null));
        });
    }

    fn a_republished_claim_is_published_once_kafka_has_acknowledged_that_too(database: &TestDatabase) {
        with_service(database, async |service| {
            let test = database.database();
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            // As when Kafka has acknowledged it, two hours ago.
            plant(test, "DELETE FROM outbox");
            plant(test, &format!("UPDATE claims SET submitted_at_us = submitted_at_us - {}", 7_200 * MICROSECONDS));
            let sums = reconciled(&service).await;
            assert_eq!((&sums["published"], &sums["oldest_unpublished_age_s"]), (&sum(1, "1.00"), &Value::Null));
            plant(test, "UPDATE claims SET next_attempt_at_us = 1");
            let sums = eventually("it is re-published", async || {
                let sums = reconciled(&service).await;
                (sums["unpublished"]["claims"] == 1).then_some(sums)
            })
            .await;
            let age = sums["oldest_unpublished_age_s"].as_i64();
            assert!(age.is_some_and(|age| (0..3_600).contains(&age)), "since it was re-published: {sums}");
            // Another event of it that waits, such as its void, does not make it unpublished.
            plant(test, "DELETE FROM outbox");
            let void = service.request(Method::POST, &format!("/v1/claims/{id}/void"));
            assert_eq!(Answer::of(void.json(&json!({"reason": "sent by mistake"}))).await.status, 202);
            assert_eq!((count(test, "outbox") > 0, &reconciled(&service).await["published"]), (true, &sum(1, "1.00")));
        });
    }

    fn a_claim_that_was_settled_with_another_amount_is_named(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let paid = service.accepted(&claim(PROVIDERS[0], "10.00")).await;
            let short = service.accepted(&claim(PROVIDERS[0], "20.00")).await;
            kafka.outcome(1, &settled(&paid, 1_000));
            kafka.outcome(1, &settled(&short, 1_900));
            service.claim_with_status(&paid, "settled").await;
            service.claim_with_status(&short, "settled").await;
            let (words, named) = disagreement(&service).await;
            assert_eq!(words, "settled claims are paid their net fees: 2 claims of 30.00 expected, 2 claims of 29.00 found, 1 off");
            assert_eq!(named, [json!({"claim_id": short, "expected": sum(1, "20.00"), "found": sum(1, "19.00")})]);

            // One that was paid too much makes the sums agree; both are named.
            let much = service.accepted(&claim(PROVIDERS[0], "5.00")).await;
            kafka.outcome(1, &settled(&much, 600));
            service.claim_with_status(&much, "settled").await;
            let (words, named) = disagreement(&service).await;
            assert!(words.ends_with("3 claims of 35.00 expected, 3 claims of 35.00 found, 2 off"), "{words}");
            let mut ids: Vec<&str> = named.iter().filter_map(|off| off["claim_id"].as_str()).collect();
            ids.sort_unstable();
            let mut wanted = [short.as_str(), much.as_str()];
            wanted.sort_unstable();
            assert_eq!(ids, wanted);
        });
    }

    fn a_providers_total_that_is_off_is_named(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(database, |settings| kafka.configure(settings), async |service| {
            let test = database.database();
            let kept = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let gone = service.accepted(&claim(PROVIDERS[0], "300.00")).await;
            service.accepted(&claim(PROVIDERS[1], "7.00")).await;
            kafka.outcome(1, &PaymentEvent::Unwound(unwound(&gone)));
            service.claim_with_status(&gone, "unwound").await;
            assert_eq!(reconciled(&service).await["agrees"], true, "{kept}");

            let total = format!("provider_totals SET net_fee_cents = {{}}, claims = {{}} WHERE provider_npi = '{}'", PROVIDERS[0]);
            let set = |cents: i64, claims: i64| {
                plant(test, &format!("UPDATE {}", total.replacen("{}", &cents.to_string(), 1).replacen("{}", &claims.to_string(), 1)));
            };
            // The claim that was unwound still counts.
            set(30_100, 2);
            let (words, named) = disagreement(&service).await;
            assert_eq!(
                words,
                "the providers' totals are the claims that are not unwound: 2 claims of 8.00 expected, 3 claims of 308.00 found, 1 off"
            );
            assert_eq!(
                named,
                [json!({"provider_npi": PROVIDERS[0], "expected": sum(1, "1.00"), "found": sum(2, "301.00")})]
            );
            // A changed amount, and a changed count.
            for (cents, claims) in [(1, 1), (100, 2)] {
                set(cents, claims);
                assert_eq!(disagreement(&service).await.1[0]["provider_npi"], PROVIDERS[0]);
            }
            set(100, 1);
            assert_eq!(reconciled(&service).await["agrees"], true);
            // A total without claims, and claims without a total.
            plant(test, "INSERT INTO provider_totals (provider_npi, net_fee_cents, claims) VALUES ('9999999999', 5, 1)");
            assert_eq!(
                disagreement(&service).await.1,
                [json!({"provider_npi": "9999999999", "expected": sum(0, "0.00"), "found": sum(1, "0.05")})]
            );
            plant(test, "DELETE FROM provider_totals WHERE provider_npi = '9999999999'");
            plant(test, &format!("DELETE FROM provider_totals WHERE provider_npi = '{}'", PROVIDERS[1]));
            assert_eq!(
                disagreement(&service).await.1,
                [json!({"provider_npi": PROVIDERS[1], "expected": sum(1, "7.00"), "found": sum(0, "0.00")})]
            );
        });
    }

    fn every_other_disagreement_is_named(database: &TestDatabase) {
        with_service(database, async |service| {
            let test = database.database();
            let [pending, paid, gone] = [
                service.accepted(&claim(PROVIDERS[0], "1.00")).await,
                service.accepted(&claim(PROVIDERS[0], "20.00")).await,
                service.accepted(&claim(PROVIDERS[0], "300.00")).await,
            ];
            settle(test, &paid, 2_000);
            plant(
                test,
                &format!(
                    "UPDATE claims SET status = 'unwound', outcome_type = 'payment.unwound', outcome_version = 1, outcome_at_us = 5,
                     outcome = '{{}}', next_attempt_at_us = NULL WHERE claim_id = '{gone}'"
                ),
            );
            plant(test, "UPDATE provider_totals SET net_fee_cents = 2100, claims = 2");
            assert_eq!(reconciled(&service).await["agrees"], true);

            let first = |id: &str| format!("id = (SELECT id FROM claims WHERE claim_id = '{id}')");
            for (spoil, repair, id, name, expected, found) in [
                (
                    "UPDATE claims SET status = 'lost' WHERE {}",
                    "UPDATE claims SET status = 'submitted' WHERE {}",
                    &pending,
                    "settled, unwound and pending claims are those submitted",
                    sum(1, "1.00"),
                    sum(0, "0.00"),
                ),
                (
                    "UPDATE claim_lines SET net_fee_cents = 99 WHERE claim_key IN (SELECT id FROM claims WHERE {})",
                    "UPDATE claim_lines SET net_fee_cents = 100 WHERE claim_key IN (SELECT id FROM claims WHERE {})",
                    &pending,
                    "a claim's net fee is that of its lines",
                    sum(1, "1.00"),
                    sum(1, "0.99"),
                ),
                (
                    "UPDATE claims SET next_attempt_at_us = NULL WHERE {}",
                    "UPDATE claims SET next_attempt_at_us = 4102444800000000 WHERE {}",
                    &pending,
                    "pending claims are due for a re-request",
                    sum(1, "1.00"),
                    sum(0, "0.00"),
                ),
                (
                    "UPDATE claims SET outcome = 'nonsense' WHERE {}",
                    "UPDATE claims SET outcome = '{\"amount_cents\":2000}' WHERE {}",
                    &paid,
                    "settled claims are paid their net fees",
                    sum(1, "20.00"),
                    sum(0, "0.00"),
                ),
                (
                    "UPDATE claims SET outcome_type = 'payment.unwound' WHERE {}",
                    "UPDATE claims SET outcome_type = 'payment.settled' WHERE {}",
                    &paid,
                    "settled claims are paid their net fees",
                    sum(1, "20.00"),
                    sum(0, "0.00"),
                ),
                (
                    "UPDATE claims SET outcome_type = NULL WHERE {}",
                    "UPDATE claims SET outcome_type = 'payment.unwound' WHERE {}",
                    &gone,
                    "unwound claims have an unwound outcome",
                    sum(1, "300.00"),
                    sum(0, "0.00"),
                ),
            ] {
                plant(test, &spoil.replace("{}", &first(id)));
                let (words, named) = disagreement(&service).await;
                assert!(words.starts_with(name), "{words}");
                assert_eq!(named, [json!({"claim_id": id, "expected": expected, "found": found})], "{words}");
                plant(test, &repair.replace("{}", &first(id)));
                assert_eq!(reconciled(&service).await["agrees"], true, "{name}");
            }
        });
    }

    fn only_so_many_that_are_off_are_named_and_all_are_counted(database: &TestDatabase) {
        with_service(database, async |service| {
            for n in 1..=25 {
                service.accepted(&claim(PROVIDERS[0], &format!("{n}.00"))).await;
            }
            plant(database.database(), "UPDATE claims SET next_attempt_at_us = NULL");
            let sums = reconciled(&service).await;
            let check = sums["checks"].as_array().unwrap().iter().find(|check| check["agrees"] == false).unwrap();
            assert_eq!((&check["off"], check["named"].as_array().map(Vec::len)), (&json!(25), Some(20)), "{check}");
        });
    }

    fn claims_that_need_attention_are_named_with_their_age(database: &TestDatabase) {
        with_service(database, async |service| {
            let test = database.database();
            let mut ids = Vec::new();
            for (fee, age_s) in [("1.00", 60), ("20.00", 7_200), ("300.00", 0)] {
                let id = service.accepted(&claim(PROVIDERS[0], fee)).await;
                plant(
                    test,
                    &format!(
                        "UPDATE claims SET submitted_at_us = submitted_at_us - {}, request_count = 11, needs_attention = {}
                         WHERE claim_id = '{id}'",
                        age_s * MICROSECONDS,
                        age_s > 0
                    ),
                );
                ids.push(id);
            }
            let sums = reconciled(&service).await;
            assert_eq!((&sums["needs_attention"], &sums["agrees"]), (&sum(2, "21.00"), &json!(true)));
            let waiting = sums["needing_attention"].as_array().unwrap();
            let named: Vec<&str> = waiting.iter().filter_map(|one| one["id"].as_str()).collect();
            assert_eq!(named, [ids[1].as_str(), ids[0].as_str()], "the oldest first");
            assert_eq!(
                (&waiting[0]["net_fee"], &waiting[0]["request_count"], &waiting[0]["status"]),
                (&json!("20.00"), &json!(11), &json!("submitted"))
            );
            for age in [&waiting[0]["age_s"], &sums["oldest_needs_attention_age_s"], &sums["oldest_pending_age_s"]] {
                assert!(age.as_i64().is_some_and(|age| (7_200..7_320).contains(&age)), "{age}");
            }
            assert_eq!(count(test, "claims WHERE needs_attention"), 2);
        });
    }
}
