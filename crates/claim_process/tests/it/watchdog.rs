//! Asking again: a claim whose outcome does not come is said again and marked after a while, and let be when it comes.

use crate::kafka::{Kafka, settled, use_broker_at};
use crate::service::{PROVIDERS, claim, with_settings};
use claim_events::ClaimEvent;
use claim_process::db::claims::{any_due, take_due};
use claim_process::events::watchdog::request_overdue_outcomes;
use claim_process::settings::{Settings, WatchdogSettings};
use event_bus::Relay;
use serde_json::json;
use std::collections::BTreeSet;
use test_support::{TestDatabase, count, eventually, execute, free_address, number, on_both_databases};

/// Asks soon and often, and marks a claim after the third time.
fn impatient(settings: &mut Settings) {
    settings.watchdog.interval_ms = 20;
    settings.watchdog.first_pause_ms = 50;
    settings.watchdog.max_pause_ms = 200;
    settings.watchdog.attention_after = 3;
}

on_both_databases! {
    fn an_overdue_claim_is_said_again_and_marked_until_its_outcome_comes(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.use_it(settings);
            impatient(settings);
        };
        with_settings(database, change, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let said = kafka.said(5).await;
            for again in &said[1..] {
                assert_eq!(again.headers, said[0].headers, "the same event, with the same id");
                assert_eq!((&again.body, again.partition), (&said[0].body, said[0].partition));
            }
            assert!(matches!(said[4].decode().1, ClaimEvent::Submitted(body) if body.claim_id == id && body.resync_epoch == 0));
            let marked = eventually("the claim is marked", async || {
                let claim = service.claim(&id).await;
                (claim["needs_attention"] == true).then_some(claim)
            })
            .await;
            assert_eq!(marked["status"], "submitted");
            assert!(number(database.database(), "SELECT request_count AS n FROM claims") >= 3);
            // Marked or not, it goes on being asked for.
            kafka.said(2).await;

            kafka.outcome(1, &settled(&id, 100));
            let done = eventually("the claim is settled", async || {
                let claim = service.claim(&id).await;
                (claim["status"] == "settled").then_some(claim)
            })
            .await;
            assert_eq!(done["needs_attention"], false);
            let asked = number(database.database(), "SELECT request_count AS n FROM claims");
            assert_eq!(count(database.database(), "claims WHERE next_attempt_at_us IS NOT NULL"), 0);
            // Another claim is asked for several times meanwhile, and this one not once.
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            eventually("the other is asked for", async || {
                (count(database.database(), "claims WHERE request_count >= 3 AND status = 'submitted'") == 1)
                    .then_some(())
            })
            .await;
            assert_eq!(
                number(database.database(), "SELECT MIN(request_count) AS n FROM claims WHERE status = 'settled'"),
                asked
            );
        });
    }

    fn a_question_that_waits_is_not_put_again_and_another_is(database: &TestDatabase) {
        let address = free_address().to_string();
        let change = |settings: &mut Settings| {
            impatient(settings);
            use_broker_at(&address, settings);
        };
        // Outlives the service, which leaves its group when it stops.
        let mut kafka = None;
        with_settings(database, change, async |service| {
            let test = database.database();
            let ids = [
                service.accepted(&claim(PROVIDERS[0], "1.00")).await,
                service.accepted(&claim(PROVIDERS[0], "2.00")).await,
            ];
            let asked_for = async |times: i64| {
                eventually("both are asked for", async || {
                    (count(test, &format!("claims WHERE request_count >= {times}")) == 2).then_some(())
                })
                .await;
            };
            asked_for(4).await;
            assert_eq!(count(test, "outbox"), 2, "each waits once");
            // One is asked for anew, which is another question.
            let anew = format!("UPDATE claims SET resync_epoch = 5, next_attempt_at_us = 1, request_count = 0 WHERE claim_id = '{}'", ids[0]);
            test.write(|c| execute(c, &anew)).unwrap();
            asked_for(3).await;
            assert_eq!(count(test, "outbox"), 3);

            let kafka = kafka.insert(Kafka::start_at(&address));
            // In any order, and perhaps more than once.
            let mut asks = BTreeSet::new();
            eventually("both questions are said", async || {
                while let Some(said) = kafka.said_now() {
                    match said.decode().1 {
                        ClaimEvent::Submitted(body) if said.key == ids[0] => drop(asks.insert(body.resync_epoch)),
                        ClaimEvent::Submitted(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
                (asks.len() >= 2).then_some(())
            })
            .await;
            assert_eq!(asks, BTreeSet::from([0, 5]));
            // What went out is asked for again, as ever.
            eventually("both are said again", async || {
                let said = kafka.said(4).await;
                ids.iter().all(|id| said.iter().any(|said| said.key == *id)).then_some(())
            })
            .await;
        });
    }

    fn a_claim_is_not_asked_for_before_its_time(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.use_it(settings);
            impatient(settings);
            settings.watchdog.first_pause_ms = 60_000;
            settings.watchdog.max_pause_ms = 600_000;
        };
        with_settings(database, change, async |service| {
            let patient = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let overdue = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            kafka.said(2).await;
            database
                .database()
                .write(|c| execute(c, &format!("UPDATE claims SET next_attempt_at_us = 1 WHERE claim_id = '{overdue}'")))
                .unwrap();
            let asked = |id: &str| {
                number(database.database(), &format!("SELECT request_count AS n FROM claims WHERE claim_id = '{id}'"))
            };
            eventually("the overdue one is requested again", async || (asked(&overdue) > 0).then_some(())).await;
            // An event may come twice on a busy machine, the other claim's too.
            while kafka.said(1).await[0].key != overdue {}
            assert_eq!((asked(&overdue), asked(&patient)), (1, 0));
            // The next pause is longer than the first.
            let pause = number(
                database.database(),
                &format!("SELECT next_attempt_at_us - submitted_at_us AS n FROM claims WHERE claim_id = '{overdue}'"),
            );
            assert!(pause > 60_000_000, "{pause} µs");
        });
    }

    fn what_is_known_of_the_outcome_is_said_with_the_question(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.use_it(settings);
            settings.watchdog.interval_ms = 20;
        };
        with_settings(database, change, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            kafka.said(1).await;
            // As after a settlement that answered less than is asked.
            database
                .database()
                .write(|c| {
                    execute(
                        c,
                        "UPDATE claims SET status = 'settled', outcome_type = 'payment.settled', outcome_version = 4, \
                 resync_epoch = 2, next_attempt_at_us = 1",
                    )
                })
                .unwrap();
            let said = kafka.said(1).await.remove(0);
            let body: serde_json::Value = serde_json::from_str(&said.body).unwrap();
            assert_eq!(body["known_outcome"], json!({"type": "payment.settled", "version": 4}));
            assert_eq!((&body["resync_epoch"], &body["claim_id"]), (&json!(2), &json!(id)));
        });
    }

    fn each_request_doubles_the_pause_and_the_attention_begins_with_the_request_that_is_one_too_many(database: &TestDatabase) {
        let watchdog = WatchdogSettings {
            first_pause_ms: 60_000, max_pause_ms: 600_000, attention_after: 2, ..Settings::default().watchdog
        };
        with_settings(database, |settings| settings.watchdog = watchdog.clone(), async |service| {
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
        });
        let database = database.database();
        assert_eq!(number(database, "SELECT next_attempt_at_us - submitted_at_us AS n FROM claims"), 60_000_000);
        // Without a Kafka: what is asked for is only written down.
        let mut kafka = Settings::default().kafka;
        kafka.brokers = "127.0.0.1:1".to_owned();
        kafka.producer.flush_timeout_ms = 100;
        let relay = Relay::start(database, &kafka).expect("starts");
        let now_us = || database.read(|c| c.now_us()).unwrap();
        for (asked, pause_us, attention) in [(1, 120_000_000, false), (2, 240_000_000, true), (3, 480_000_000, true), (4, 600_000_000, true)] {
            // What waits in the outbox is not put beside itself, and the claim is due again all the same.
            database.write(|c| execute(c, "UPDATE claims SET next_attempt_at_us = 1")).unwrap();
            let before_us = now_us();
            assert_eq!(request_overdue_outcomes(database, &relay, &watchdog).unwrap(), 0);
            let (begins, ends) = (before_us + pause_us, now_us() + pause_us);
            let row = format!("claims WHERE request_count = {asked} AND next_attempt_at_us BETWEEN {begins} AND {ends}");
            assert_eq!(count(database, &row), 1, "request {asked}");
            assert_eq!(count(database, "claims WHERE needs_attention"), i64::from(attention), "request {asked}");
        }
        relay.stop();
    }

    fn a_claim_is_due_from_its_time_on(database: &TestDatabase) {
        with_settings(database, |_| (), async |service| {
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
        });
        let database = database.database();
        for (next_attempt_at_us, at_1000) in [("1000", true), ("1001", false), ("NULL", false)] {
            database.write(|c| execute(c, &format!("UPDATE claims SET next_attempt_at_us = {next_attempt_at_us}"))).unwrap();
            // An idle watchdog only reads, so what it reads must be what it would take.
            assert_eq!(database.read(|c| any_due(c, 1_000)).unwrap(), at_1000, "{next_attempt_at_us}");
            assert_eq!(database.write(|c| take_due(c, 1_000, 9)).unwrap().len(), usize::from(at_1000), "{next_attempt_at_us}");
        }
    }

    fn a_look_asks_for_no_more_claims_than_its_bound(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.use_it(settings);
            settings.watchdog.interval_ms = 60_000;
            settings.watchdog.max_claims = 3;
        };
        with_settings(database, change, async |service| {
            for _ in 0..7 {
                service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            }
            kafka.said(7).await;
        });
        database.database().write(|c| execute(c, "UPDATE claims SET next_attempt_at_us = id")).unwrap();
        with_settings(database, change, async |_| {
            // Only the look at the start falls into this test.
            let said = kafka.said(3).await;
            assert_eq!(said.len(), 3);
            assert_eq!(count(database.database(), "claims WHERE request_count = 1"), 3);
            assert_eq!(
                count(database.database(), "claims WHERE request_count = 1 AND id <= 3"),
                3,
                "the longest overdue first"
            );
        });
    }
}
