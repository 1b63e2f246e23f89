//! The watchdog: a claim whose outcome does not come is re-published, and needs attention after a while. Both end when the
//! outcome comes.

use crate::kafka::{Kafka, connect_to, settled};
use crate::service::{PROVIDERS, REAL_CLAIM, claim, with_settings};
use claim_events::ClaimEvent;
use claim_process::db::requests::{any_overdue, due_times, lock_overdue};
use claim_process::events::watchdog::request_overdue_outcomes;
use claim_process::settings::{Settings, WatchdogSettings};
use event_bus::Relay;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use test_support::{
    Tally, TestDatabase, assert_uses_index, count, eventually, execute, free_address, number, on_both_databases,
};

/// Re-requests soon and often, and marks a claim after the third time.
fn impatient(settings: &mut Settings) {
    settings.watchdog.interval_ms = 20;
    settings.watchdog.first_pause_ms = 50;
    settings.watchdog.max_pause_ms = 200;
    settings.watchdog.attention_after = 3;
}

on_both_databases! {
    fn a_claim_whose_event_cannot_be_published_needs_attention_at_its_first_request(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            impatient(settings);
            settings.watchdog.attention_after = 1_000_000;
            // The start of the program would refuse this.
            settings.kafka.max_message_bytes = 1_000;
        };
        with_settings(database, change, async |service| {
            let id = service.post_csv(REAL_CLAIM).await.body["id"].as_str().unwrap().to_owned();
            let marked = eventually("the claim is marked", async || {
                (service.claim(&id).await["needs_attention"] == true).then_some(())
            });
            marked.await;
            let letters = service.get("/v1/dead-letters").await.body;
            let letter = &letters["dead_letters"][0];
            assert_eq!((&letter["direction"], &letter["key"]), (&json!("out"), &json!(id)), "{letters}");
            assert_eq!(service.get("/v1/claims?needs_attention=true").await.body["claims"][0]["id"], id);
        });
    }

    fn an_overdue_claim_is_republished_and_marked_until_its_outcome_comes(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            impatient(settings);
        };
        with_settings(database, change, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let published = kafka.published(5).await;
            for again in &published[1..] {
                assert_eq!(again.headers, published[0].headers, "the same event, with the same id");
                assert_eq!((&again.body, again.partition), (&published[0].body, published[0].partition));
            }
            assert!(matches!(published[4].decode().1, ClaimEvent::Submitted(body) if body.claim_id == id && body.resync_epoch == 0));
            let marked = eventually("the claim is marked", async || {
                let claim = service.claim(&id).await;
                (claim["needs_attention"] == true).then_some(claim)
            })
            .await;
            assert_eq!(marked["status"], "submitted");
            assert!(number(database.database(), "SELECT request_count AS n FROM claims") >= 3);
            // The marked claim is still re-requested.
            kafka.published(2).await;

            kafka.outcome(1, &settled(&id, 100));
            let done = eventually("the claim is settled", async || {
                let claim = service.claim(&id).await;
                (claim["status"] == "settled").then_some(claim)
            })
            .await;
            assert_eq!(done["needs_attention"], false);
            let requests = number(database.database(), "SELECT request_count AS n FROM claims");
            assert_eq!(count(database.database(), "claims WHERE next_attempt_at_us IS NOT NULL"), 0);
            // Another claim is re-requested several times meanwhile, and this one not once.
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            eventually("the other is re-requested", async || {
                (count(database.database(), "claims WHERE request_count >= 3 AND status = 'submitted'") == 1)
                    .then_some(())
            })
            .await;
            assert_eq!(
                number(database.database(), "SELECT MIN(request_count) AS n FROM claims WHERE status = 'settled'"),
                requests
            );
        });
    }

    fn a_request_in_the_outbox_is_not_written_twice_and_is_published_with_the_newest_data(database: &TestDatabase) {
        let address = free_address().to_string();
        let change = |settings: &mut Settings| {
            impatient(settings);
            connect_to(&address, settings);
        };
        // Outlives the service, which leaves its group when it stops.
        let mut kafka = None;
        with_settings(database, change, async |service| {
            let test = database.database();
            let ids = [
                service.accepted(&claim(PROVIDERS[0], "1.00")).await,
                service.accepted(&claim(PROVIDERS[0], "2.00")).await,
            ];
            let requested = async |times: i64| {
                eventually("both are re-requested", async || {
                    (count(test, &format!("claims WHERE request_count >= {times}")) == 2).then_some(())
                })
                .await;
            };
            requested(4).await;
            assert_eq!(count(test, "outbox"), 2, "each waits once");
            // The resync epoch of one is raised. Its event is in the outbox without its data, which is read when it is published.
            let raised = format!("UPDATE claims SET resync_epoch = 5, next_attempt_at_us = 1, request_count = 0 WHERE claim_id = '{}'", ids[0]);
            test.write(|c| execute(c, &raised)).unwrap();
            requested(3).await;
            assert_eq!(count(test, "outbox"), 2);

            let kafka = kafka.insert(Kafka::start_at(&address));
            // In any order, and perhaps more than once.
            let mut epochs = BTreeSet::new();
            eventually("the newest request is published", async || {
                while let Some(published) = kafka.published_now() {
                    match published.decode().1 {
                        ClaimEvent::Submitted(body) if published.key == ids[0] => drop(epochs.insert(body.resync_epoch)),
                        ClaimEvent::Submitted(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
                epochs.contains(&5).then_some(())
            })
            .await;
            assert!(epochs.is_subset(&BTreeSet::from([0, 5])), "{epochs:?}");
            // A published request is repeated after its pause, as always.
            eventually("both are published again", async || {
                let published = kafka.published(4).await;
                ids.iter().all(|id| published.iter().any(|published| published.key == *id)).then_some(())
            })
            .await;
        });
    }

    fn a_claim_is_not_rerequested_before_its_time(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            impatient(settings);
            settings.watchdog.first_pause_ms = 60_000;
            settings.watchdog.max_pause_ms = 600_000;
        };
        with_settings(database, change, async |service| {
            let patient = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let overdue = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            kafka.published(2).await;
            database
                .database()
                .write(|c| execute(c, &format!("UPDATE claims SET next_attempt_at_us = 1 WHERE claim_id = '{overdue}'")))
                .unwrap();
            let requests = |id: &str| {
                number(database.database(), &format!("SELECT request_count AS n FROM claims WHERE claim_id = '{id}'"))
            };
            eventually("the overdue one is re-requested", async || (requests(&overdue) > 0).then_some(())).await;
            // An event may come twice on a busy machine, the other claim's too.
            while kafka.published(1).await[0].key != overdue {}
            assert_eq!((requests(&overdue), requests(&patient)), (1, 0));
            // The next pause is longer than the first.
            let pause = number(
                database.database(),
                &format!("SELECT next_attempt_at_us - submitted_at_us AS n FROM claims WHERE claim_id = '{overdue}'"),
            );
            assert!(pause > 60_000_000, "{pause} µs");
        });
    }

    fn a_request_carries_the_known_outcome(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            settings.watchdog.interval_ms = 20;
        };
        with_settings(database, change, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            kafka.published(1).await;
            // As after a settlement that did not echo the resync epoch.
            database
                .database()
                .write(|c| {
                    execute(
                        c,
                        "UPDATE claims SET status = 'settled', outcome_type = 'payment.settled', outcome_version = 4, \
                 outcome_at_us = 5, outcome = '{}', resync_epoch = 2, next_attempt_at_us = 1",
                    )
                })
                .unwrap();
            let published = kafka.published(1).await.remove(0);
            let body: serde_json::Value = serde_json::from_str(&published.body).unwrap();
            assert_eq!(body["known_outcome"], json!({"type": "payment.settled", "version": 4}));
            assert_eq!((&body["resync_epoch"], &body["claim_id"]), (&json!(2), &json!(id)));
        });
    }

    fn each_request_doubles_the_pause_and_attention_begins_at_the_bound(database: &TestDatabase) {
        let watchdog = WatchdogSettings {
            first_pause_ms: 60_000, max_pause_ms: 600_000, attention_after: 2, ..Settings::default().watchdog
        };
        with_settings(database, |settings| settings.watchdog = watchdog.clone(), async |service| {
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
        });
        let database = database.database();
        assert_eq!(number(database, "SELECT next_attempt_at_us - submitted_at_us AS n FROM claims"), 60_000_000);
        // Without a Kafka: requests are only written to the outbox.
        let mut kafka = Settings::default().kafka;
        kafka.brokers = "127.0.0.1:1".to_owned();
        kafka.producer.flush_timeout_ms = 100;
        let relay = Relay::start(database, &kafka).expect("starts");
        let now_us = || database.read(|c| c.now_us()).unwrap();
        for (requests, pause_us, attention) in [(1, 120_000_000, false), (2, 240_000_000, true), (3, 480_000_000, true), (4, 600_000_000, true)] {
            // The request is in the outbox already and not written twice, and the claim is due again all the same.
            database.write(|c| execute(c, "UPDATE claims SET next_attempt_at_us = 1")).unwrap();
            let before_us = now_us();
            assert_eq!(request_overdue_outcomes(database, &relay, &watchdog).unwrap(), 0);
            let (begins, ends) = (before_us + pause_us, now_us() + pause_us);
            let row = format!("claims WHERE request_count = {requests} AND next_attempt_at_us BETWEEN {begins} AND {ends}");
            assert_eq!(count(database, &row), 1, "request {requests}");
            assert_eq!(count(database, "claims WHERE needs_attention"), i64::from(attention), "request {requests}");
        }
        relay.stop();
    }

    fn a_claim_that_cannot_be_read_is_reported_and_the_others_are_rerequested(database: &TestDatabase) {
        with_settings(database, |_| (), async |service| {
            for npi in &PROVIDERS[..3] {
                service.accepted(&claim(npi, "1.00")).await;
            }
        });
        let database = database.database();
        // An outcome without its time and body, and an unknown status.
        for (columns, npi) in [("outcome_type = 'payment.settled', outcome_version = 1", PROVIDERS[0]), ("status = 'paid'", PROVIDERS[1])] {
            database.write(|c| execute(c, &format!("UPDATE claims SET {columns} WHERE provider_npi = '{npi}'"))).unwrap();
        }
        database.write(|c| execute(c, "DELETE FROM outbox")).unwrap();
        database.write(|c| execute(c, "UPDATE claims SET next_attempt_at_us = id")).unwrap();
        let mut kafka = Settings::default().kafka;
        kafka.brokers = "127.0.0.1:1".to_owned();
        kafka.producer.flush_timeout_ms = 100;
        let relay = Relay::start(database, &kafka).expect("starts");
        let unreadable = Tally::of("unreadable_claims_total");
        let watchdog = Settings::default().watchdog;
        let request = || request_overdue_outcomes(database, &relay, &watchdog);
        let requested = metrics::with_local_recorder(&unreadable, request).unwrap();
        relay.stop();
        assert_eq!((requested, unreadable.total()), (1, 2));
        let readable = format!("outbox WHERE message_key = (SELECT claim_id FROM claims WHERE provider_npi = '{}')", PROVIDERS[2]);
        assert_eq!((count(database, "outbox"), count(database, &readable)), (1, 1));
        // They are due again later, so that they leave room for others.
        assert_eq!(count(database, "claims WHERE request_count = 1 AND next_attempt_at_us > 1000000"), 3);
    }

    fn what_was_scheduled_under_a_clock_that_was_ahead_is_requested_at_once(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            settings.watchdog.first_pause_ms = 600_000;
        };
        with_settings(database, change, async |service| {
            for _ in 0..3 {
                service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            }
            kafka.published(3).await;
        });
        // Taken under clocks that were an hour, eight days and ten years ahead.
        for (id, hours) in [(1, 1), (2, 8 * 24), (3, 3_653 * 24)] {
            let later = format!("UPDATE claims SET next_attempt_at_us = next_attempt_at_us + {hours} * 3600000000 WHERE id = {id}");
            database.database().write(|c| execute(c, &later)).expect("writes");
        }
        with_settings(database, change, async |_| {
            kafka.published(3).await;
            eventually("all were requested", async || {
                (count(database.database(), "claims WHERE request_count = 1") == 3).then_some(())
            })
            .await;
        });
    }

    fn the_index_finds_claims_that_are_due_too_late(database: &TestDatabase) {
        with_settings(database, |_| (), async |_| ());
        for query in due_times(Duration::from_secs(600)).queries() {
            assert_uses_index(database.database(), &query, "claims_next_attempt");
        }
    }

    fn a_claim_is_due_from_its_time_on(database: &TestDatabase) {
        with_settings(database, |_| (), async |service| {
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
        });
        let database = database.database();
        for (next_attempt_at_us, at_1000) in [("1000", true), ("1001", false), ("NULL", false)] {
            database.write(|c| execute(c, &format!("UPDATE claims SET next_attempt_at_us = {next_attempt_at_us}"))).unwrap();
            // An idle watchdog only reads, so it must read what it would lock.
            assert_eq!(database.read(|c| any_overdue(c, 1_000)).unwrap(), at_1000, "{next_attempt_at_us}");
            assert_eq!(database.write(|c| lock_overdue(c, 1_000, 9)).unwrap().len(), usize::from(at_1000), "{next_attempt_at_us}");
        }
    }

    fn a_run_rerequests_no_more_claims_than_its_bound(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut Settings| {
            kafka.configure(settings);
            settings.watchdog.interval_ms = 60_000;
            settings.watchdog.max_claims = 3;
        };
        with_settings(database, change, async |service| {
            for _ in 0..7 {
                service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            }
            kafka.published(7).await;
        });
        database.database().write(|c| execute(c, "UPDATE claims SET next_attempt_at_us = id")).unwrap();
        with_settings(database, change, async |_| {
            // Only the run at the start falls into this test.
            let published = kafka.published(3).await;
            assert_eq!(published.len(), 3);
            assert_eq!(count(database.database(), "claims WHERE request_count = 1"), 3);
            assert_eq!(
                count(database.database(), "claims WHERE request_count = 1 AND id <= 3"),
                3,
                "the longest overdue first"
            );
        });
    }
}
