//! PostgreSQL that does not answer: every request is answered in time, and the service heals by itself and can be stopped.

use crate::program::{Program, program};
use crate::service::{Answer, PROVIDERS, Service, claim, with_settings};
use std::time::{Duration, Instant};
use test_support::{ChaosProxy, TestDatabase, count, eventually, execute, on_postgres};

/// The longest that a client waits by the defaults, and what a machine that is busy with other tests may add.
const ANSWERED: Duration = Duration::from_millis(5_000 + 2_500);

/// Posts a claim and checks that the answer comes in time.
async fn post(service: &Service, key: &str) -> Answer {
    let started = Instant::now();
    let answer = service.post_with_key(key, &claim(PROVIDERS[0], "1.00")).await;
    assert!(started.elapsed() < ANSWERED, "{:?}", started.elapsed());
    assert!(answer.status == 503 || answer.status < 300, "{}", answer.body);
    answer
}

on_postgres! {
    #[test]
    fn claims_are_accepted_again_within_seconds_after_all_open_connections_fell_silent() {
        let database = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(database.settings());
        with_settings(&database, |changed| changed.database = settings, async |service| {
            assert_eq!(post(&service, "before").await.status, 201);
            proxy.silence_open_connections();
            let silent = Instant::now();
            eventually("a claim is accepted", async || (post(&service, "after").await.status < 300).then_some(())).await;
            assert!(silent.elapsed() < ANSWERED * 2, "{:?}", silent.elapsed());
        });
        assert_eq!(count(database.database(), "claims"), 2);
    }

    #[test]
    fn a_table_that_is_locked_for_longer_than_a_request_waits_costs_no_claim() {
        let database = TestDatabase::postgres();
        with_settings(&database, |_| (), async |service| {
            let (release, released) = std::sync::mpsc::channel::<()>();
            let (taken, wait) = std::sync::mpsc::channel();
            let holder = database.database().clone();
            let holding = std::thread::spawn(move || holder.write(|c| {
                execute(c, "LOCK TABLE claims, idempotency_keys IN EXCLUSIVE MODE")?;
                taken.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            }));
            wait.recv().unwrap();
            for _ in 0..2 {
                assert_eq!(post(&service, "key").await.problem(503), "unavailable");
            }
            drop(release);
            holding.join().unwrap().unwrap();
            eventually("it is accepted", async || (post(&service, "key").await.status < 300).then_some(())).await;
        });
        assert_eq!(count(database.database(), "claims"), 1);
    }

    #[test]
    fn a_silent_database_is_503_in_time_not_ready_and_does_not_keep_the_process() {
        let database = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(database.settings());
        let directory = tempfile::tempdir().unwrap();
        let mut command = program(directory.path());
        command.env("CLAIM_PROCESS__DATABASE__URL", settings.url.expose());
        let running = Program::start(&mut command);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            assert_eq!(post(&running.service, "before").await.status, 201);
            proxy.silence();
            for _ in 0..3 {
                assert_eq!(post(&running.service, "silent").await.problem(503), "unavailable");
            }
            let started = Instant::now();
            assert_eq!(running.service.get("/v1/claims").await.problem(503), "unavailable");
            assert!(started.elapsed() < ANSWERED, "{:?}", started.elapsed());
            eventually("it is not ready", async || {
                let ready = running.service.get("/readyz").await;
                (ready.body["dependencies"]["database"] != "ready").then_some(())
            })
            .await;
        });
        let stopping = Instant::now();
        running.signal("TERM");
        let (status, log) = running.ended();
        assert!(stopping.elapsed() < Duration::from_secs(30), "{:?}", stopping.elapsed());
        assert!(matches!(status.code(), Some(0 | 70)), "{status:?}: {log}");
    }
}
