//! A server, a proxy or a network that is silent: nothing waits for it longer than the settings say, and the pool replaces the
//! connections that went silent.

use dual_db::{Connection, Database, DatabaseSettings, Error};
use std::time::{Duration, Instant};
use test_support::{ChaosProxy, TestDatabase, execute, on_postgres, wait_until};

/// How long a statement waits in these tests, in milliseconds.
const SILENCE_MS: u64 = 1_000;

/// What a test allows beside the time-outs, on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(5);

/// What a transaction does.
type Body = fn(&mut Connection) -> Result<(), Error>;

/// A way to run a transaction.
type Run = fn(&Database, Body) -> Result<(), Error>;

fn impatient(settings: &DatabaseSettings) -> DatabaseSettings {
    DatabaseSettings {
        silence_timeout_ms: SILENCE_MS,
        statement_timeout_ms: SILENCE_MS / 2,
        lock_timeout_ms: SILENCE_MS / 2,
        max_connections: 8,
        ..settings.clone()
    }
}

/// Begins a transaction, silences its connection, and lets it end with `rest` and a COMMIT.
fn fails_in_time_after_a_silence(rest: impl Fn(&mut Connection) -> Result<(), Error>) {
    let test = TestDatabase::postgres();
    let (proxy, settings) = ChaosProxy::for_database(test.settings());
    let database = Database::open(&impatient(&settings)).expect("opens");
    let started = Instant::now();
    let failed = database.write(|connection| {
        execute(connection, "CREATE TABLE numbers (n BIGINT)")?;
        proxy.silence();
        rest(connection)
    });
    assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
    assert!(started.elapsed() < Duration::from_millis(SILENCE_MS) + SLACK, "{:?}", started.elapsed());
}

on_postgres! {
    #[test]
    fn a_statement_whose_connection_falls_silent_fails_in_time_and_so_does_its_transaction() {
        fails_in_time_after_a_silence(|connection| execute(connection, "INSERT INTO numbers VALUES (1)"));
    }

    #[test]
    fn a_commit_whose_connection_falls_silent_fails_in_time() {
        fails_in_time_after_a_silence(|_| Ok(()));
    }

    #[test]
    fn a_transaction_of_many_short_statements_is_bounded_too_and_costs_no_other_connection() {
        let test = TestDatabase::postgres();
        let settings = DatabaseSettings { transaction_timeout_ms: SILENCE_MS, ..impatient(test.settings()) };
        let database = Database::open(&settings).expect("opens");
        database.write(|c| execute(c, "CREATE TABLE numbers (n BIGINT)")).expect("is created");
        let endless: Body = |c| loop { execute(c, "SELECT pg_sleep(0.1)")? };
        let runs: [Run; 2] = [|database, body| database.write(body), |database, body| database.read(body)];
        for run in runs {
            let started = Instant::now();
            let failed = run(&database, endless);
            assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
            assert!(started.elapsed() < Duration::from_millis(SILENCE_MS) + SLACK, "{:?}", started.elapsed());
        }
        database.write(|c| execute(c, "INSERT INTO numbers VALUES (1)")).expect("the next one is not bounded by it");
    }

    #[test]
    fn connections_that_fell_silent_together_are_replaced_together() {
        let test = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(test.settings());
        let settings = DatabaseSettings { max_connections: 8, ..settings };
        let database = Database::open(&settings).expect("opens");
        // All eight connections are in use at once, so that each is opened.
        let meeting = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| database.read(|c| { meeting.wait(); c.ping() }).expect("answers"));
            }
        });
        proxy.silence_open_connections();
        let silent = Instant::now();
        wait_until("the database answers", || database.ping().is_ok());
        let first = silent.elapsed();
        let rest = Instant::now();
        for _ in 0..20 {
            database.ping().expect("each connection works");
        }
        // With the defaults a first query would take 5 s, and each idle connection another.
        assert!(first < Duration::from_secs(2) + SLACK, "{first:?}");
        assert!(rest.elapsed() < SLACK, "{:?}", rest.elapsed());
    }

    #[test]
    fn a_server_that_is_silent_to_new_connections_too_is_an_outage_and_heals_by_itself() {
        let test = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(test.settings());
        let settings = DatabaseSettings { checkout_timeout_ms: 2_000, ..impatient(&settings) };
        let database = Database::open(&settings).expect("opens");
        database.ping().expect("answers");
        proxy.silence();
        for _ in 0..3 {
            let started = Instant::now();
            database.ping().expect_err("the server is silent");
            assert!(started.elapsed() < Duration::from_millis(SILENCE_MS + 2_000) + SLACK, "{:?}", started.elapsed());
        }
        proxy.restore();
        wait_until("the database answers", || database.ping().is_ok());
    }

    #[test]
    fn a_report_may_take_longer_than_a_statement_and_is_bounded_too() {
        let test = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(test.settings());
        let long_ms = 3 * SILENCE_MS;
        let settings = DatabaseSettings { report_timeout_ms: long_ms, ..impatient(&settings) };
        let database = Database::open(&settings).expect("opens");
        let sleep = |seconds: &'static str| move |c: &mut dual_db::Connection| execute(c, &format!("SELECT pg_sleep({seconds})"));
        database.read(|c| c.snapshot(sleep("1.5"))).expect("a report has more time");
        let slow = database.read(sleep("1.5"));
        assert!(matches!(slow, Err(Error::Failed(_))), "the server ends a statement that is no report: {slow:?}");
        let started = Instant::now();
        let silent = database.read(|c| c.snapshot(|c| { proxy.silence(); c.ping() }));
        assert!(matches!(silent, Err(Error::Unavailable(_))), "{silent:?}");
        assert!(started.elapsed() < Duration::from_millis(long_ms) + SLACK, "{:?}", started.elapsed());
    }
}
