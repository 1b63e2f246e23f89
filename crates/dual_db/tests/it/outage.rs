//! A server that cannot be reached: no caller waits for it, and it is found again when it is back.

use dual_db::{Database, DatabaseSettings, Error};
use std::time::{Duration, Instant};
use test_support::{ChaosProxy, TestDatabase, on_postgres, wait_until};

/// How long an outage, or its end, may go unnoticed.
const SOON: Duration = Duration::from_secs(30);

on_postgres! {
    #[test]
    fn an_outage_is_said_at_once_and_is_over_when_the_server_is_back() {
        let test = TestDatabase::postgres();
        let (user, host) = test.settings().url.expose().rsplit_once('@').expect("a user");
        let (server, name) = host.split_once('/').expect("a name");
        let proxy = ChaosProxy::open(server);
        let settings = DatabaseSettings {
            url: format!("{user}@{}/{name}", proxy.address()).into(),
            checkout_timeout_ms: 30_000,
            ..test.settings().clone()
        };
        let database = Database::open(&settings).expect("opens");
        database.ping().expect("answers");
        proxy.cut();
        // The first callers find their connections broken; from then on none waits.
        let cut = Instant::now();
        wait_until("the outage is noticed", || database.ping().is_err());
        assert!(cut.elapsed() < SOON, "{:?}", cut.elapsed());
        let asked = Instant::now();
        for _ in 0..20 {
            assert!(matches!(database.ping(), Err(Error::Unavailable(_))));
        }
        assert!(asked.elapsed() < Duration::from_millis(settings.checkout_timeout_ms), "{:?}", asked.elapsed());
        proxy.restore();
        let back = Instant::now();
        wait_until("the server is found again", || database.ping().is_ok());
        assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    }
}
