//! The servers and programs that tests need and the environment names: what it named when the tests were built, and what
//! it names when they run.

use std::env;

/// Something that a test needs, named by a variable of the environment.
#[derive(Debug, Clone, Copy)]
struct Requirement {
    variable: &'static str,
    /// What the variable names, for the sentence that says that it names none.
    what: &'static str,
    /// Its value when this was built.
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

/// The PostgreSQL server on which tests may create databases: `postgres://user@host:port/postgres`.
///
/// # Panics
/// When the environment names none, or another one than when this was built.
pub fn postgres_url() -> String {
    POSTGRES.value(env::var(POSTGRES.variable).ok())
}

/// The Kafka that `scripts/services.sh` runs, as `host:port`. Tests may wipe it.
///
/// # Panics
/// When the environment names none, or another one than when this was built.
pub fn kafka_brokers() -> String {
    KAFKA.value(env::var(KAFKA.variable).ok())
}

/// The path or name of a `kcat` program.
///
/// # Panics
/// When the environment names none, or another one than when this was built.
pub fn kcat() -> String {
    KCAT.value(env::var(KCAT.variable).ok())
}

impl Requirement {
    /// The value that the environment has `now`. Which tests are ignored was decided when they were built, so a test that
    /// runs in another environment is not what the runner says it is.
    fn value(self, now: Option<String>) -> String {
        let Self { variable, what, at_build } = self;
        let now = now.filter(|value| !value.is_empty());
        let at_build = at_build.filter(|value| !value.is_empty());
        let in_ci = if env::var_os("CI").is_some() { ", and in CI every test must run" } else { "" };
        match (at_build, now) {
            (built_with, Some(now)) if built_with == Some(now.as_str()) => now,
            (None, None) => panic!("{variable} names no {what}{in_ci}"),
            (Some(_), None) => panic!(
                "{variable} named a {what} when this test was built and is not set now: set it, or run the test through cargo, which builds it anew"
            ),
            (_, Some(_)) => panic!(
                "{variable} is not what it was when this test was built: run the test through cargo, which builds it anew"
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
        for (at_build, now, said) in [
            (None, None, "TEST_SERVER names no server"),
            (Some(""), Some(""), "TEST_SERVER names no server"),
            (Some("a"), None, "TEST_SERVER named a server when this test was built and is not set now"),
            (Some("a"), Some(""), "TEST_SERVER named a server when this test was built and is not set now"),
            (Some("a"), Some("b"), "TEST_SERVER is not what it was when this test was built"),
            (None, Some("b"), "TEST_SERVER is not what it was when this test was built"),
        ] {
            let complaint = complaint(at_build, now);
            assert!(complaint.starts_with(said), "{at_build:?}, {now:?}: {complaint}");
        }
    }
}
