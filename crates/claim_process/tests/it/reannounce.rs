//! `reannounce`: every claim, settled and unwound ones included, is re-published with a higher resync epoch, and only an
//! outcome that echoes it counts.

use crate::kafka::{Kafka, settled, unwound};
use crate::service::{PROVIDERS, Service, claim, with_settings};
use claim_events::{ClaimEvent, KnownOutcome, OutcomeKind, PaymentEvent, Settled};
use claim_process::events::reannounce::reannounce;
use std::collections::BTreeMap;
use test_support::{TestDatabase, count, eventually, execute, number, on_both_databases};

async fn ended(service: &Service, id: &str) {
    eventually("the claim ends", async || (service.claim(id).await["outcome"]["version"] == 1).then_some(())).await;
}

on_both_databases! {
    fn every_claim_is_republished_with_its_known_outcome_until_the_epoch_is_echoed(database: &TestDatabase) {
        let kafka = Kafka::start();
        let change = |settings: &mut claim_process::settings::Settings| {
            kafka.configure(settings);
            settings.watchdog.interval_ms = 20;
            settings.watchdog.first_pause_ms = 60_000;
        };
        with_settings(database, change, async |service| {
            let mut ids = Vec::new();
            for _ in 0..3 {
                ids.push(service.accepted(&claim(PROVIDERS[0], "1.00")).await);
            }
            kafka.published(3).await;
            kafka.outcome(1, &settled(&ids[0], 100));
            kafka.outcome(1, &PaymentEvent::Unwound(unwound(&ids[1])));
            ended(&service, &ids[0]).await;
            ended(&service, &ids[1]).await;

            let done = reannounce(database.database(), None, |_| ()).expect("raises");
            assert_eq!(done.claims, 3);
            let published: BTreeMap<String, ClaimEvent> =
                kafka.published(3).await.into_iter().map(|published| (published.key.clone(), published.decode().1)).collect();
            let known = |kind| Some(KnownOutcome { kind, version: 1 });
            for (id, expected) in [
                (&ids[0], known(OutcomeKind::Settled)),
                (&ids[1], known(OutcomeKind::Unwound)),
                (&ids[2], None),
            ] {
                let ClaimEvent::Submitted(body) = &published[id] else { panic!("{published:?}") };
                assert_eq!((body.resync_epoch, body.known_outcome), (done.resync_epoch, expected));
            }
            // An outcome of an earlier epoch answers nothing; one that echoes the epoch does.
            let settlement = |resync_epoch| PaymentEvent::Settled(Settled {
                resync_epoch,
                ..match settled(&ids[0], 100) { PaymentEvent::Settled(settled) => settled, PaymentEvent::Unwound(_) => panic!("settled") }
            });
            kafka.outcome(1, &settlement(0));
            kafka.outcome(1, &settled(&ids[2], 100));
            kafka.outcome(1, &settlement(done.resync_epoch));
            eventually("one is answered", async || {
                (count(database.database(), "claims WHERE next_attempt_at_us IS NOT NULL") == 2).then_some(())
            })
            .await;
            assert_eq!(service.claim(&ids[2]).await["status"], "submitted", "its settlement did not echo the epoch");
            assert_eq!(service.claim(&ids[0]).await["timeline"].as_array().map(Vec::len), Some(2), "nothing is new");
        });
        assert_eq!(count(database.database(), "dead_letters"), 0);
    }

    fn a_resync_epoch_is_the_time_and_higher_than_every_earlier_one(database: &TestDatabase) {
        with_settings(database, |_| (), async |service| {
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let now_s = database.database().read(|c| c.now_us()).expect("reads") / 1_000_000;
            let first = reannounce(database.database(), None, |_| ()).expect("raises");
            assert!(first.resync_epoch >= now_s && first.resync_epoch < now_s + 60, "{first:?}");
            let second = reannounce(database.database(), None, |_| ()).expect("raises");
            let now_s = database.database().read(|c| c.now_us()).expect("reads") / 1_000_000;
            assert!(second.resync_epoch > first.resync_epoch && second.resync_epoch <= now_s, "above the first, and not ahead of the clock");
            let stored = number(database.database(), "SELECT resync_epoch AS n FROM claims");
            assert_eq!(stored, second.resync_epoch);
        });
    }

    fn a_resync_epoch_is_higher_than_every_earlier_one_where_the_clock_has_gone_back(database: &TestDatabase) {
        with_settings(database, |_| (), async |service| {
            service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let ahead = "UPDATE claims SET resync_epoch = 5000000000";
            database.database().write(|c| execute(c, ahead)).expect("moves it ahead of the clock");
            // It waits for the clock, but not for ever.
            assert_eq!(reannounce(database.database(), None, |_| ()).expect("raises").resync_epoch, 5_000_000_001);
            assert_eq!(number(database.database(), "SELECT resync_epoch AS n FROM claims"), 5_000_000_001);
        });
    }

    fn since_a_time_only_claims_that_changed_since_are_reannounced(database: &TestDatabase) {
        with_settings(database, |_| (), async |service| {
            for _ in 0..4 {
                service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            }
            let old = "UPDATE claims SET submitted_at_us = 1000000, next_attempt_at_us = NULL";
            let times = [
                "UPDATE claims SET outcome_type = 'payment.settled', outcome_version = 1, outcome_at_us = 5000000, outcome = '{}' WHERE id = (SELECT MIN(id) FROM claims)",
                "UPDATE claims SET voided_at_us = 5000000 WHERE id = (SELECT MAX(id) FROM claims)",
            ];
            database.database().write(|c| {
                execute(c, old)?;
                times.iter().try_for_each(|sql| execute(c, sql))
            }).expect("moves them in time");
            let mut progress = Vec::new();
            let done = reannounce(database.database(), Some(5_000_000), |raised| progress.push(raised)).expect("raises");
            assert_eq!((done.claims, progress), (2, vec![2]));
            assert_eq!(count(database.database(), "claims WHERE resync_epoch > 0 AND next_attempt_at_us IS NOT NULL"), 2);
            assert_eq!(reannounce(database.database(), Some(5_000_001), |_| ()).expect("raises").claims, 0);
        });
    }
}
