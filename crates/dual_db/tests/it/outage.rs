//! An unreachable server: callers get an error at once, and connections again once the server is reachable.

use dual_db::{Database, DatabaseSettings, Error};
use std::time::{Duration, Instant};
use test_support::{ChaosProxy, TestDatabase, on_postgres, wait_until};

/// How long it may take to notice an outage or its end.
const SOON: Duration = Duration::from_secs(30);

on_postgres! {
    #[test]
    fn an_outage_is_reported_at_once_and_ends_when_the_server_is_back() {
        let test = TestDatabase::postgres();
        let (proxy, settings) = ChaosProxy::for_database(test.settings());
        let settings = DatabaseSettings { checkout_timeout_ms: 30_000, ..settings };
        let database = Database::open(&settings).expect("opens");
        database.ping().expect("answers");
        proxy.cut();
        // The first callers get broken connections; later ones do not wait.
        let cut = Instant::now();
        wait_until("the outage is noticed", || database.ping().is_err());
        assert!(cut.elapsed() < SOON, "{:?}", cut.elapsed());
        let first_error = Instant::now();
        for _ in 0..20 {
            assert!(matches!(database.ping(), Err(Error::Unavailable(_))));
        }
        assert!(first_error.elapsed() < Duration::from_millis(settings.checkout_timeout_ms), "{:?}", first_error.elapsed());
        proxy.restore();
        let back = Instant::now();
        wait_until("the server is reachable again", || database.ping().is_ok());
        assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    }
}
