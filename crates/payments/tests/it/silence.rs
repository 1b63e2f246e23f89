//! PostgreSQL that does not answer: every request is answered in time, and the service heals by itself and can be stopped.

use crate::harness::with_application;
use std::process::Command;
use std::time::{Duration, Instant};
use test_support::{ChaosProxy, Running, TestDatabase, eventually, on_postgres};

/// The longest that a client waits by the defaults, and what a machine that is busy with other tests may add.
const ANSWERED: Duration = Duration::from_millis(5_000 + 2_500);

/// The status of an answer, which comes in time.
async fn status(url: &str) -> u16 {
    let started = Instant::now();
    let answer = reqwest::get(url).await.expect("an answer");
    assert!(started.elapsed() < ANSWERED, "{:?}", started.elapsed());
    answer.status().as_u16()
}

on_postgres! {
    #[test]
    fn payments_can_be_read_again_within_seconds_after_all_open_connections_fell_silent() {
        let test = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(test.settings());
        with_application(&test, |changed| changed.database = settings, async |base, _| {
            let payments = format!("{base}/v1/payments");
            assert_eq!(status(&payments).await, 200);
            proxy.silence_open_connections();
            let silent = Instant::now();
            eventually("payments can be read", async || (status(&payments).await == 200).then_some(())).await;
            assert!(silent.elapsed() < ANSWERED * 2, "{:?}", silent.elapsed());
        });
    }

    #[test]
    fn a_silent_database_is_503_in_time_and_does_not_keep_the_process() {
        let test = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(test.settings());
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_payments"));
        command
            .current_dir(directory.path())
            .env_clear()
            .env("PAYMENTS__HTTP__PORT", "0")
            .env("PAYMENTS__KAFKA__BROKERS", "127.0.0.1:1")
            .env("PAYMENTS__GATEWAY__URL", "http://127.0.0.1:1")
            .env("PAYMENTS__DATABASE__URL", settings.url.expose());
        let running = Running::start(&mut command);
        let payments = format!("http://{}/v1/payments", running.address_behind("listens on http://"));
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            assert_eq!(status(&payments).await, 200);
            proxy.silence();
            for _ in 0..3 {
                assert_eq!(status(&payments).await, 503);
            }
        });
        let stopping = Instant::now();
        running.signal("TERM");
        let (status, log) = running.ended();
        assert!(stopping.elapsed() < Duration::from_secs(30), "{:?}", stopping.elapsed());
        assert!(matches!(status.code(), Some(0 | 70)), "{status:?}: {log}");
    }
}
