//! Counts the outcomes that are published, for one log line a second.

use crate::domain::saga::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use worker_threads::{Pace, Periodic};

/// How often a log line sums up what was published.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What was published since the last log line. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    settled: AtomicU64,
    unwound: AtomicU64,
    republished: AtomicU64,
}

impl Tally {
    /// Counts an outcome that is published, perhaps not for the first time.
    pub(super) fn published(&self, state: State, republished: bool) {
        metrics::counter!("payment_outcomes_published_total", "state" => state.as_str()).increment(1);
        let count = match state {
            _ if republished => &self.0.republished,
            State::Settled => &self.0.settled,
            _ => &self.0.unwound,
        };
        count.fetch_add(1, Relaxed);
    }

    /// Logs what was published, if anything was, and starts to count from zero.
    pub fn log(&self) {
        let Counts { settled, unwound, republished } = &*self.0;
        let [settled, unwound, republished] = [settled, unwound, republished].map(|count| count.swap(0, Relaxed));
        if settled + unwound + republished > 0 {
            tracing::info!(settled, unwound, republished, "outcomes published");
        }
    }

    /// Begins to log, once a second.
    pub fn keep_logging(&self) -> Periodic {
        let tally = self.clone();
        Periodic::spawn("outcomes log", LOG_EVERY, move || {
            tally.log();
            Pace::Pause
        })
    }
}
