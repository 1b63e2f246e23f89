//! How long an `Idempotency-Key` is remembered, and how old keys are deleted.

use crate::service::{PROVIDERS, Service, claim, with_service, with_settings};
use claim_process::claims::key_purge::purge;
use claim_process::db::idempotency::{NewKey, claim_keys, forget, newest_us};
use claim_process::settings::{IdempotencySettings, Settings};
use dual_db::TrustedClock;
use test_support::{PATIENCE, TestDatabase, count, eventually, execute, number, on_both_databases};

on_both_databases! {
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
            let clock = TrustedClock::open(database.database(), newest_us).expect("opens");
            assert_eq!(purge(database.database(), &two, &clock).expect("purges"), 2);
            assert_eq!(purge(database.database(), &two, &clock).expect("purges"), 1);
            assert_eq!(purge(database.database(), &two, &clock).expect("purges"), 0);
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
            // A restart: what a process trusts begins where the last one ended, and advances by what it runs.
            database.database().write(|connection| {
                let now_us = connection.now_us()?;
                execute(connection, &format!("UPDATE trusted_clock SET at_us = {now_us}"))
            }).expect("writes");
            let clock = TrustedClock::open(database.database(), newest_us).expect("opens");
            assert_eq!(purge(database.database(), &settings, &clock).expect("purges"), 1);
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
            owner: claim_process::domain::owner::LOCAL,
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
    fn a_start_with_a_clock_that_is_wrong_makes_no_second_claim_of_a_key(database: &TestDatabase) {
        let settings = Settings::default().idempotency;
        // The clock is ahead by so much where the stored times lie back by as much.
        let shift = |days: i64| {
            let us = days * 86_400_000_000;
            database.database().write(|connection| {
                execute(connection, &format!("UPDATE idempotency_keys SET created_at_us = created_at_us - {us}"))?;
                execute(connection, &format!("UPDATE trusted_clock SET at_us = at_us - {us}"))
            }).expect("writes");
        };
        let post = async |service: &Service, key: &str, status: u16| {
            let answer = service.post_with_key(key, &claim(PROVIDERS[0], "1.00")).await;
            assert_eq!(answer.status, status, "{key}: {}", answer.body);
        };
        with_service(database, async |service| post(&service, "right", 201).await);
        for (days, key) in [(8, "8-days-ahead"), (3_653, "10-years-ahead"), (-1, "a-day-behind")] {
            shift(days);
            // Two starts, as a supervisor makes them.
            for _ in 0..2 {
                with_service(database, async |service| {
                    post(&service, "right", 200).await;
                    let clock = TrustedClock::open(database.database(), newest_us).expect("opens");
                    assert_eq!(purge(database.database(), &settings, &clock).expect("purges"), 0, "{key}");
                });
            }
            with_service(database, async |service| post(&service, key, 201).await);
            shift(-days);
            with_service(database, async |service| {
                for known in ["right", key] {
                    post(&service, known, 200).await;
                }
            });
        }
        // The key that was made while the clock was a day behind is as young as it is.
        let age = "SELECT k.at_us - i.created_at_us AS n FROM trusted_clock k, idempotency_keys i WHERE idempotency_key = 'a-day-behind'";
        let age_us = number(database.database(), age);
        assert!(age_us < 3_600_000_000, "{age_us}");
        assert_eq!(count(database.database(), "claims"), 4);
    }
}
