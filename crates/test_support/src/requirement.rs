//! The servers and programs that tests need and that the environment names. The values at build time and at run time must be the
//! same.

use std::env;

/// A server or program that a test needs, named by an environment variable.
#[derive(Debug, Clone, Copy)]
struct Requirement {
    variable: &'static str,
    /// The kind of server or program, for messages.
    what: &'static str,
    /// The value at build time.
    at_build: Option<&'static str>,
}

const POSTGRES: Requirement = Requirement {
    variable: "TEST_POSTGRES_URL",
    what: "PostgreSQL server",
    at_build: option_env!("TEST_POSTGRES_URL"),
};
const KAFKA: Requirement =
    Requirement { variable: "TEST_KAFKA_BROKERS", what: "Kafka", at_build: option_env!("TEST_KAFKA_BROKERS") };
const KCAT: Requirement =
    Requirement { variable: "TEST_KCAT", what: "kcat program", at_build: option_env!("TEST_KCAT") };
const PGBOUNCER: Requirement =
    Requirement { variable: "TEST_PGBOUNCER", what: "PgBouncer program", at_build: option_env!("TEST_PGBOUNCER") };

/// The PostgreSQL server on which tests may create databases: `postgres://user@host:port/postgres`.
///
/// # Panics
/// If the environment names none, or another one than at build time.
pub fn postgres_url() -> String {
    POSTGRES.value(env::var(POSTGRES.variable).ok())
}

/// The Kafka that `scripts/services.sh` runs, as `host:port`. Tests may wipe it.
///
/// # Panics
/// If the environment names none, or another one than at build time.
pub fn kafka_brokers() -> String {
    KAFKA.value(env::var(KAFKA.variable).ok())
}

/// The path or name of a `kcat` program.
///
/// # Panics
/// If the environment names none, or another one than at build time.
pub fn kcat() -> String {
    KCAT.value(env::var(KCAT.variable).ok())
}

/// The path or name of a `pgbouncer` program.
///
/// # Panics
/// If the environment names none, or another one than at build time.
pub fn pgbouncer() -> String {
    PGBOUNCER.value(env::var(PGBOUNCER.variable).ok())
}

impl Requirement {
    /// Checks the value at run time. Which tests are ignored was decided at build time, so a test must not run in another
    /// environment.
    fn value(self, now: Option<String>) -> String {
        let Self { variable, what, at_build } = self;
        let now = now.filter(|value| !value.is_empty());
        let at_build = at_build.filter(|value| !value.is_empty());
        let in_ci = if env::var_os("CI").is_some() { ", and in CI every test must run" } else { "" };
        match (at_build, now) {
            (built_with, Some(now)) if built_with == Some(now.as_str()) => now,
            (None, None) => panic!("{variable} names no {what}{in_ci}"),
            (Some(_), None) => panic!(
                "{variable} named a {what} when this test was built and is not set now: set it, or run the test through cargo, which rebuilds it"
            ),
            (_, Some(_)) => panic!(
                "{variable} is not what it was when this test was built: run the test through cargo, which rebuilds it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    fn complaint(at_build: Option<&'static str>, now: Option<&str>) -> String {
        let requirement = Requirement { variable: "TEST_SERVER", what: "server", at_build };
        let now = now.map(str::to_owned);
        let panic = catch_unwind(|| requirement.value(now)).expect_err("it complains");
        panic.downcast_ref::<String>().expect("a sentence").clone()
    }

    #[test]
    fn a_server_is_the_one_that_was_named_when_the_test_was_built() {
        let requirement = Requirement { variable: "TEST_SERVER", what: "server", at_build: Some("a") };
        assert_eq!(requirement.value(Some("a".to_owned())), "a");
        for (at_build, now, expected) in [
            (None, None, "TEST_SERVER names no server"),
            (Some(""), Some(""), "TEST_SERVER names no server"),
            (Some("a"), None, "TEST_SERVER named a server when this test was built and is not set now"),
            (Some("a"), Some(""), "TEST_SERVER named a server when this test was built and is not set now"),
            (Some("a"), Some("b"), "TEST_SERVER is not what it was when this test was built"),
            (None, Some("b"), "TEST_SERVER is not what it was when this test was built"),
        ] {
            let complaint = complaint(at_build, now);
            assert!(complaint.starts_with(expected), "{at_build:?}, {now:?}: {complaint}");
        }
    }
}
