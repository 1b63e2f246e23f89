//! The evidence against a message that cannot be applied, and the verdict on it.
//!
//! A message is dead-lettered only if it is proven that the message is at fault: it fails alone, and after each of its failures
//! the database proves by a write that it works. Everything else is the database's trouble, and is waited for.

use dual_db::Error;
use std::time::{Duration, Instant};

/// How a message failed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The database refuses its rows.
    Refused,
    /// The database failed a statement, and Diesel has no kind for the reason: it may be the message or the database.
    Unexplained,
    /// Another transaction was quicker.
    LostRace,
    /// The database is not available.
    Unavailable,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Query(_) => Failure::Refused,
            Error::Failed(_) => Failure::Unexplained,
            Error::Conflict => Failure::LostRace,
            Error::Unavailable(_) => Failure::Unavailable,
        }
    }

    /// Whether the message may be the reason.
    pub(crate) fn may_be_the_message(self) -> bool {
        matches!(self, Failure::Refused | Failure::Unexplained)
    }
}

/// How much evidence there has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof {
    /// How often the rows of a message are refused.
    pub(crate) refusals: u32,
    /// For how long a message fails without a known reason.
    pub(crate) unexplained_for: Duration,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is tried again.
    Retry,
    /// It is dead-lettered, for this reason.
    Poison(&'static str),
}

/// The evidence against one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    refusals: u32,
    unexplained_since: Option<Instant>,
}

impl Evidence {
    /// Adds a failure. `database_works`: whether a write succeeded after it.
    pub(crate) fn add(&mut self, failure: Failure, database_works: bool, now: Instant, proof: Proof) -> Verdict {
        if !database_works || failure == Failure::Unavailable {
            self.clear();
            return Verdict::Retry;
        }
        match failure {
            Failure::Refused => {
                self.refusals += 1;
                if self.refusals >= proof.refusals {
                    return Verdict::Poison("the database refuses it");
                }
            }
            Failure::Unexplained => {
                let since = *self.unexplained_since.get_or_insert(now);
                if now.duration_since(since) >= proof.unexplained_for {
                    return Verdict::Poison("the database fails it and accepts others");
                }
            }
            Failure::LostRace | Failure::Unavailable => {}
        }
        Verdict::Retry
    }

    /// Forgets everything: the database was in trouble meanwhile.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: Proof = Proof { refusals: 3, unexplained_for: Duration::from_secs(300) };

    /// The verdict after failures at these seconds, each with whether the database works.
    fn verdict(failures: &[(u64, Failure, bool)]) -> Verdict {
        let start = Instant::now();
        let mut evidence = Evidence::default();
        let mut verdict = Verdict::Retry;
        for (at_s, failure, database_works) in failures {
            assert_eq!(verdict, Verdict::Retry, "it is dead-lettered before");
            verdict = evidence.add(*failure, *database_works, start + Duration::from_secs(*at_s), PROOF);
        }
        verdict
    }

    #[test]
    fn a_refused_message_is_poison_after_as_many_refusals_with_a_working_database() {
        use Failure::{LostRace, Refused};
        assert_eq!(verdict(&[(0, Refused, true), (1, Refused, true)]), Verdict::Retry);
        let proven = [(0, Refused, true), (1, LostRace, true), (2, Refused, true), (3, Refused, true)];
        assert!(matches!(verdict(&proven), Verdict::Poison(_)));
        assert_eq!(verdict(&[(0, Refused, false), (1, Refused, false), (2, Refused, false)]), Verdict::Retry);
    }

    #[test]
    fn any_failed_probe_and_any_outage_starts_the_count_again() {
        use Failure::{Refused, Unavailable, Unexplained};
        let two = [(0, Refused, true), (1, Refused, true)];
        for trouble in [(2, Refused, false), (2, Unavailable, true)] {
            let mut failures = two.to_vec();
            failures.extend([trouble, (3, Refused, true), (4, Refused, true)]);
            assert_eq!(verdict(&failures), Verdict::Retry);
            failures.push((5, Refused, true));
            assert!(matches!(verdict(&failures), Verdict::Poison(_)));
        }
        assert_eq!(
            verdict(&[(0, Unexplained, true), (299, Unexplained, false), (301, Unexplained, true)]),
            Verdict::Retry
        );
    }

    #[test]
    fn a_message_that_fails_without_a_known_reason_is_poison_only_after_a_long_time() {
        use Failure::Unexplained;
        assert_eq!(
            verdict(&[(0, Unexplained, true), (1, Unexplained, true), (299, Unexplained, true)]),
            Verdict::Retry
        );
        assert!(matches!(verdict(&[(0, Unexplained, true), (300, Unexplained, true)]), Verdict::Poison(_)));
    }
}
