//! Counts the tests that `cargo test` reports as passed, failed and skipped, for each backend and in total. Pure: it gets the
//! lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The backend of a test, given by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Backend {
    Sqlite,
    Postgres,
    Kafka,
    Other,
}

const BACKENDS: [(Backend, &str); 4] = [
    (Backend::Sqlite, "sqlite"),
    (Backend::Postgres, "postgres"),
    (Backend::Kafka, "kafka"),
    (Backend::Other, "other"),
];

impl Backend {
    /// `on_both_databases!` generates tests that end in `::sqlite` and `::postgres`; the name of one on a real Kafka (and perhaps
    /// PostgreSQL too) ends in `_on_kafka` or `_and_kafka`.
    fn of(test: &str) -> Self {
        if test.ends_with("::sqlite") {
            Self::Sqlite
        } else if test.ends_with("::postgres") {
            Self::Postgres
        } else if test.ends_with("_on_kafka") || test.ends_with("_and_kafka") {
            Self::Kafka
        } else {
            Self::Other
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn all(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The counts so far.
#[derive(Debug, Default)]
pub struct Tally {
    by_backend: BTreeMap<Backend, Counts>,
    /// The reasons of skipped tests.
    reasons: BTreeSet<String>,
    /// The sums of the closing lines of the test programs, which also count tests whose own lines are garbled.
    closing: Counts,
    programs: usize,
    filtered_out: usize,
}

impl Tally {
    /// Counts a line of `cargo test`.
    pub fn line(&mut self, line: &str) {
        if let Some(counted) = line.strip_prefix("test result: ") {
            self.closing_line(counted);
        } else if let Some((name, result)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... ")) {
            self.test(name, result);
        }
    }

    fn test(&mut self, name: &str, result: &str) {
        // `#[should_panic]` tests and documentation tests have a suffix after their names.
        let name = name.split(' ').next().unwrap_or_default();
        let counts = self.by_backend.entry(Backend::of(name)).or_default();
        match result.split_once(", ") {
            _ if result == "ok" => counts.passed += 1,
            _ if result == "FAILED" => counts.failed += 1,
            None if result == "ignored" => counts.skipped += 1,
            Some(("ignored", reason)) => {
                counts.skipped += 1;
                self.reasons.insert(reason.to_owned());
            }
            // A list of names, or the output of a test.
            _ => {}
        }
    }

    /// `ok. 12 passed; 0 failed; 3 ignored; 0 measured; 4 filtered out; finished in 0.10s`
    fn closing_line(&mut self, text: &str) {
        self.programs += 1;
        let (_, counts) = text.split_once(". ").unwrap_or(("", text));
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.closing.passed += number,
                "failed" => self.closing.failed += number,
                "ignored" => self.closing.skipped += number,
                "filtered out" => self.filtered_out += number,
                _ => {}
            }
        }
    }

    /// Whether no test ran although no filter excluded any.
    pub fn ran_nothing(&self) -> bool {
        self.closing.all() + self.filtered_out == 0
    }

    /// Whether any test program ran.
    pub fn ran_a_program(&self) -> bool {
        self.programs > 0
    }
}

/// One line with the reasons of skipped tests, one for each backend, and one for the total.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.by_backend.clone();
        // Lines garbled by the output of a test are counted only by their program's closing line.
        let of = |part: fn(&Counts) -> usize| -> usize { self.by_backend.values().map(part).sum() };
        let other = shown.entry(Backend::Other).or_default();
        other.passed += self.closing.passed.saturating_sub(of(|counts| counts.passed));
        other.failed += self.closing.failed.saturating_sub(of(|counts| counts.failed));
        other.skipped += self.closing.skipped.saturating_sub(of(|counts| counts.skipped));
        if self.closing.skipped > 0 {
            let reasons: Vec<&str> = self.reasons.iter().map(String::as_str).collect();
            let reasons = if reasons.is_empty() { "no reason is given".to_owned() } else { reasons.join("; ") };
            writeln!(f, "{} tests were skipped: {reasons}", self.closing.skipped)?;
        }
        for (backend, name) in BACKENDS {
            writeln!(f, "{name}: {}", shown.get(&backend).copied().unwrap_or_default())?;
        }
        write!(f, "{}", self.closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        tally
    }

    #[test]
    fn tests_are_counted_by_backend_with_the_reasons_of_skipped_ones() {
        let counted = tally(
            "running 7 tests\n\
             test a::name::sqlite ... ok\n\
             test a::name::postgres ... ignored, TEST_POSTGRES_URL names no PostgreSQL server\n\
             test b::name::postgres ... ignored, TEST_POSTGRES_URL names no PostgreSQL server\n\
             test goes_round_on_kafka ... ignored, TEST_KAFKA_BROKERS names no Kafka\n\
             test the_same_on_postgresql_and_kafka ... FAILED\n\
             test plain ... ok\n\
             test panics - should panic ... ok\n\
             \n\
             test result: FAILED. 3 passed; 1 failed; 3 ignored; 0 measured; 2 filtered out; finished in 0.10s\n\
             \n   Doc-tests event_bus\n\
             test crates/event_bus/src/lib.rs - (line 3) ... ok\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        assert_eq!(
            counted.to_string(),
            "3 tests were skipped: TEST_KAFKA_BROKERS names no Kafka; TEST_POSTGRES_URL names no PostgreSQL server\n\
             sqlite: 1 passed, 0 failed, 0 skipped\n\
             postgres: 0 passed, 0 failed, 2 skipped\n\
             kafka: 0 passed, 1 failed, 1 skipped\n\
             other: 3 passed, 0 failed, 0 skipped\n\
             4 passed, 1 failed, 3 skipped"
        );
        assert!(!counted.ran_nothing());
    }

    #[test]
    fn a_garbled_line_is_counted_by_the_closing_line() {
        let counted = tally(
            "test a::sqlite ... words of a test that prints\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        assert!(counted.to_string().ends_with("other: 1 passed, 0 failed, 0 skipped\n1 passed, 0 failed, 0 skipped"));
    }

    #[test]
    fn nothing_ran_where_nothing_is_counted_or_filtered() {
        let empty = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert!(tally(empty).ran_nothing() && tally(empty).ran_a_program());
        assert!(tally("").ran_nothing() && !tally("").ran_a_program());
        assert!(!tally(&empty.replace("0 filtered", "3 filtered")).ran_nothing());
    }
}
