//! When a process that ended is started again, and when that is given up: pauses double, and restarts within a time are
//! bounded. Pure: the time comes in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use worker_threads::Backoff;

/// Restarts older than this no longer count.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Before the restarts of a process.
const BEFORE_RESTARTS: Backoff = Backoff::from_millis(1_000, 16_000);

/// The restarts of one process.
#[derive(Debug, Default)]
pub struct Restarts {
    /// When it was to be started again, the latest last.
    at: VecDeque<Instant>,
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is started again after `pause`; this is restart `number` within the window.
    Again {
        /// How long to wait first.
        pause: Duration,
        /// Counted from 1.
        number: usize,
    },
    /// It was started again this often within the window, and is no more.
    GiveUp {
        /// How often.
        restarts: usize,
    },
}

impl Restarts {
    /// Decides about a process that ended at `now`, of which at most `most` restarts are allowed within [`WINDOW`].
    pub fn after_end(&mut self, now: Instant, most: usize) -> Next {
        while self.at.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
            self.at.pop_front();
        }
        let recent = self.at.len();
        if recent >= most {
            return Next::GiveUp { restarts: recent };
        }
        let number = recent + 1;
        let pause = BEFORE_RESTARTS.pause(u32::try_from(number).unwrap_or(u32::MAX));
        self.at.push_back(now + pause);
        Next::Again { pause, number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_then_it_is_given_up() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        let pauses: Vec<u64> = (0..6)
            .map(|_| match restarts.after_end(now, 6) {
                Next::Again { pause, .. } => pause.as_secs(),
                Next::GiveUp { .. } => panic!("six are allowed"),
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 16]);
        assert_eq!(restarts.after_end(now, 6), Next::GiveUp { restarts: 6 });
    }

    #[test]
    fn restarts_are_forgotten_after_the_window() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        let first = Next::Again { pause: Duration::from_secs(1), number: 1 };
        assert_eq!(restarts.after_end(now, 1), first);
        let restarted = now + Duration::from_secs(1);
        let just_within = restarted + WINDOW - Duration::from_millis(1);
        assert_eq!(restarts.after_end(just_within, 1), Next::GiveUp { restarts: 1 });
        assert_eq!(restarts.after_end(restarted + WINDOW, 1), first);
    }

    #[test]
    fn none_at_all_may_be_allowed() {
        assert_eq!(Restarts::default().after_end(Instant::now(), 0), Next::GiveUp { restarts: 0 });
    }
}
