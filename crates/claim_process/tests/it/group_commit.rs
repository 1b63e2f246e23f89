//! Group commit: many senders at once, a queue that is full, a database that is slow or gone, and a claim that the
//! database refuses.

use crate::service::{Answer, PROVIDERS, Service, assert_totals_agree, claim, line, with_service, with_settings};
use claim_process::settings::Settings;
use dual_db::{Connection, Database};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use test_support::{TestDatabase, count, eventually, execute, number, on_both_databases};
use tokio::task::JoinSet;

/// Keeps everybody else from writing until it is dropped.
pub struct WriteLock {
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WriteLock {
    pub fn take(database: &Database) -> Self {
        let database = database.clone();
        let (release, released) = channel::<()>();
        let (taken, wait) = channel();
        let thread = std::thread::spawn(move || {
            let held = database.write(|connection| {
                // On SQLite every transaction that writes holds the only lock there is.
                if matches!(connection, Connection::Postgres(_)) {
                    execute(connection, "LOCK TABLE claims, idempotency_keys IN EXCLUSIVE MODE")?;
                }
                taken.send(()).expect("the test waits for the lock");
                // Ends when the other end is dropped.
                let _ = released.recv();
                Ok(())
            });
            held.expect("the lock is held");
        });
        wait.recv().expect("the lock is taken");
        Self { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.release = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the lock was held to its end");
        }
    }
}

/// Posts `claims` of one cent each, all at once.
fn post_at_once(service: &Service, claims: usize) -> JoinSet<Answer> {
    let mut posts = JoinSet::new();
    for _ in 0..claims {
        let service = service.clone();
        posts.spawn(async move { service.post(&claim(PROVIDERS[0], "0.01")).await });
    }
    posts
}

on_both_databases! {
    fn claims_posted_all_at_once_are_all_stored_and_the_totals_agree(database: &TestDatabase) {
        with_service(database, async |service| {
            let mut posts = JoinSet::new();
            for n in 0..200_usize {
                let service = service.clone();
                posts.spawn(async move {
                    let provider = PROVIDERS[n % PROVIDERS.len()];
                    let lines: Vec<_> = (0..=n % 3)
                        .map(|extra| {
                            line(&[
                                ("provider_npi", json!(provider)),
                                ("provider_fees", json!(format!("{n}.{extra}5"))),
                            ])
                        })
                        .collect();
                    (n, service.post(&json!(lines)).await)
                });
            }
            let answers: BTreeMap<usize, Answer> = posts.join_all().await.into_iter().collect();
            let ids: BTreeSet<&str> = answers
                .values()
                .map(|answer| {
                    assert_eq!(answer.status, 201, "{}", answer.body);
                    answer.body["id"].as_str().unwrap()
                })
                .collect();
            assert_eq!(ids.len(), 200);
            for (n, answer) in &answers {
                // Each sender got its own claim back.
                assert_eq!(answer.body["lines"].as_array().unwrap().len(), n % 3 + 1);
                assert_eq!(answer.body["lines"][0]["provider_fees"], format!("{n}.05"));
                assert_eq!(service.claim(answer.body["id"].as_str().unwrap()).await, answer.body);
            }
        });
        let database = database.database();
        assert_eq!((count(database, "claims"), count(database, "outbox")), (200, 200));
        assert_eq!(count(database, "claim_lines"), (0..200).map(|n| n % 3 + 1).sum::<i64>());
        let totals = assert_totals_agree(database);
        assert_eq!(totals.len(), PROVIDERS.len());
        assert_eq!(totals.values().map(|(_, claims)| claims).sum::<i64>(), 200);
        assert_eq!(
            totals.values().map(|(cents, _)| cents).sum::<i64>(),
            number(database, "SELECT CAST(SUM(net_fee_cents) AS BIGINT) AS n FROM claim_lines")
        );
    }

    fn a_full_queue_is_answered_at_once_and_queued_claims_are_stored(database: &TestDatabase) {
        let change = |settings: &mut Settings| {
            settings.ingest.max_queued_claims = 1;
            settings.ingest.max_group_claims = 1;
        };
        with_settings(database, change, async |service| {
            let lock = WriteLock::take(database.database());
            // The writer holds at most one claim and the queue another; the others must not wait for the lock.
            let mut posts = post_at_once(&service, 10);
            for _ in 0..8 {
                let answer = posts.join_next().await.unwrap().unwrap();
                assert_eq!(answer.problem(503), "unavailable");
                assert_eq!(answer.header("retry-after"), "1");
            }
            drop(lock);
            let rest = posts.join_all().await;
            let stored = rest.iter().filter(|answer| answer.status == 201).count();
            assert!(stored >= 1 && rest.iter().all(|answer| matches!(answer.status, 201 | 503)), "{rest:#?}");
            assert_eq!(count(database.database(), "claims"), i64::try_from(stored).unwrap());
            assert_eq!(service.post(&claim(PROVIDERS[0], "0.01")).await.status, 201, "there is room again");
        });
        assert_totals_agree(database.database());
    }

    fn reads_go_on_while_the_writer_waits(database: &TestDatabase) {
        with_service(database, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let lock = WriteLock::take(database.database());
            let waiting = post_at_once(&service, 5);
            for _ in 0..20 {
                assert_eq!(service.claim(&id).await["status"], "submitted");
                assert_eq!(service.get("/v1/claims?limit=1").await.status, 200);
                assert_eq!(service.get("/healthz").await.status, 200);
            }
            drop(lock);
            assert!(waiting.join_all().await.iter().all(|answer| answer.status == 201));
        });
        assert_eq!(count(database.database(), "claims"), 6);
    }

    fn a_database_that_stays_locked_is_unavailable_and_the_same_key_stores_the_claim_later(database: &TestDatabase) {
        let change = |settings: &mut Settings| {
            settings.database.busy_timeout_ms = 50;
            settings.database.lock_timeout_ms = 50;
            settings.database.max_retries = 1;
        };
        with_settings(database, change, async |service| {
            let paid = claim(PROVIDERS[0], "1.00");
            let lock = WriteLock::take(database.database());
            for _ in 0..2 {
                let answer = service.post_with_key("key", &paid).await;
                assert_eq!(answer.problem(503), "unavailable");
                assert!(!answer.header("retry-after").is_empty());
                assert!(answer.body["detail"].as_str().unwrap().contains("same Idempotency-Key"), "{}", answer.body);
            }
            drop(lock);
            assert_eq!(service.post_with_key("key", &paid).await.status, 201);
            assert_eq!(service.post_with_key("key", &paid).await.status, 200);
        });
        assert_eq!(count(database.database(), "claims"), 1);
        assert_totals_agree(database.database());
    }

    fn a_sender_does_not_wait_for_ever_for_a_slow_database(database: &TestDatabase) {
        with_settings(
            database,
            |settings| settings.ingest.answer_timeout_ms = 100,
            async |service| {
                let paid = claim(PROVIDERS[0], "1.00");
                let lock = WriteLock::take(database.database());
                assert_eq!(service.post_with_key("key", &paid).await.problem(503), "unavailable");
                drop(lock);
                // Its claim was in the writer's hands, and is stored without it.
                eventually("the claim is stored", async || (count(database.database(), "claims") == 1).then_some(()))
                    .await;
                eventually("its sender learns so", async || {
                    (service.post_with_key("key", &paid).await.status == 200).then_some(())
                })
                .await;
            },
        );
        assert_eq!(count(database.database(), "claims"), 1);
    }

    fn claims_whose_senders_were_answered_while_they_waited_are_not_stored(database: &TestDatabase) {
        with_settings(
            database,
            |settings| settings.ingest.answer_timeout_ms = 200,
            async |service| {
                let lock = WriteLock::take(database.database());
                // The first one is in the hands of the writer, and the others wait behind it.
                assert_eq!(service.post(&claim(PROVIDERS[0], "1.00")).await.problem(503), "unavailable");
                let answers = post_at_once(&service, 20).join_all().await;
                assert!(answers.iter().all(|answer| answer.status == 503), "{answers:?}");
                drop(lock);
                eventually("a claim is stored again", async || {
                    (service.post_with_key("key", &claim(PROVIDERS[1], "1.00")).await.status < 300).then_some(())
                })
                .await;
            },
        );
        let stored = count(database.database(), "claims");
        assert!(stored <= 2, "{stored}: the one in the hands of the writer may be stored, and the last one is");
    }

    fn a_claim_that_the_database_refuses_does_not_fail_its_neighbours(database: &TestDatabase) {
        with_service(database, async |service| {
            database
                .database()
                .write(|connection| match connection {
                    Connection::Sqlite(_) => {
                        execute(connection, "CREATE TABLE refused_by_a_trigger (n INTEGER CHECK (n = 0))")?;
                        execute(
                            connection,
                            "CREATE TRIGGER refuse BEFORE INSERT ON claims WHEN NEW.plan_group = 'POISON' \
                             BEGIN INSERT INTO refused_by_a_trigger VALUES (1); END",
                        )
                    }
                    Connection::Postgres(_) => {
                        execute(connection, "ALTER TABLE claims ADD CHECK (plan_group <> 'POISON')")
                    }
                })
                .unwrap();
            // While the lock is held they gather in the queue and so become one group.
            let lock = WriteLock::take(database.database());
            let first = post_at_once(&service, 1);
            let mut group = post_at_once(&service, 20);
            for _ in 0..2 {
                let service = service.clone();
                group.spawn(async move { service.post(&json!([line(&[("plan_group", json!("POISON"))])])).await });
            }
            drop(lock);
            let answers = [first.join_all().await, group.join_all().await].concat();
            let (stored, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
            assert_eq!((stored.len(), refused.len()), (21, 2));
            for answer in refused {
                assert_eq!(answer.problem(500), "internal");
                assert!(!answer.body.to_string().contains("POISON"), "nothing of the inside: {}", answer.body);
            }
        });
        assert_eq!(count(database.database(), "claims"), 21);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (21, 21));
    }

    fn a_group_is_retried_in_an_outage_a_bounded_number_of_times(database: &TestDatabase) {
        let change = |settings: &mut Settings| {
            settings.ingest.max_attempts = 3;
            settings.database.max_retries = 1;
        };
        with_settings(database, change, async |service| {
            let full = json!([line(&[("plan_group", json!("FULL"))])]);
            let test = database.database();
            let on_postgres = test.read(|connection| Ok(matches!(connection, Connection::Postgres(_)))).unwrap();
            test.write(|connection| match connection {
                Connection::Sqlite(_) => execute(
                    connection,
                    "CREATE TRIGGER full_disk BEFORE INSERT ON claims WHEN NEW.plan_group = 'FULL' \
                     BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
                ),
                Connection::Postgres(_) => {
                    // What a sequence counts is not rolled back.
                    execute(connection, "CREATE SEQUENCE attempts")?;
                    execute(
                        connection,
                        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
                         $$ BEGIN PERFORM nextval('attempts'); RAISE EXCEPTION 'No space left on device'; END $$",
                    )?;
                    execute(
                        connection,
                        "CREATE TRIGGER full_disk BEFORE INSERT ON claims FOR EACH ROW \
                         WHEN (NEW.plan_group = 'FULL') EXECUTE FUNCTION full_disk()",
                    )
                }
            })
            .unwrap();
            assert_eq!(service.post_with_key("key", &full).await.problem(503), "unavailable");
            if on_postgres {
                assert_eq!(number(test, "SELECT last_value AS n FROM attempts"), 5, "one statement, and two attempts that are run again once");
            }
            // The writer has given it up, and goes on with others.
            assert_eq!(service.post(&claim(PROVIDERS[0], "1.00")).await.status, 201);
            let drop = if on_postgres { "DROP TRIGGER full_disk ON claims" } else { "DROP TRIGGER full_disk" };
            test.write(|connection| execute(connection, drop)).unwrap();
            assert_eq!(service.post_with_key("key", &full).await.status, 201);
        });
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (1_100, 2));
    }

    fn a_connection_that_is_cut_loses_no_claim(database: &TestDatabase) {
        with_service(database, async |service| {
            for round in 0..5 {
                let posts = post_at_once(&service, 20);
                cut_connections(database);
                let answers = posts.join_all().await;
                let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
                assert!(statuses.iter().all(|status| *status == 201), "round {round}: {statuses:?}");
            }
        });
        assert_eq!(count(database.database(), "claims"), 100);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (100, 100));
    }
}

/// Ends every connection to the database but its own. SQLite's cannot be cut.
fn cut_connections(database: &TestDatabase) {
    let cut = database.database().write(|connection| match connection {
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(_) => execute(
            connection,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        ),
    });
    cut.expect("connections can be cut");
}
