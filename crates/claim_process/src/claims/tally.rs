//! Counts what becomes of claims: for the metrics, and for one log line a second while claims come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use worker_threads::{Pace, Periodic};

/// How often a log line sums up what came in.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What became of the claims since the last log line. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    replayed: AtomicU64,
    not_stored: AtomicU64,
    slowest_us: AtomicU64,
}

impl Tally {
    /// Counts accepted claims.
    pub fn accepted(&self, claims: u64) {
        self.0.accepted.fetch_add(claims, Relaxed);
        metrics::counter!("claims_accepted_total").increment(claims);
    }

    /// Counts refused claims.
    pub fn refused(&self, claims: u64) {
        self.0.refused.fetch_add(claims, Relaxed);
        metrics::counter!("claims_refused_total").increment(claims);
    }

    /// Counts claims that were stored before and sent again.
    pub fn replayed(&self, claims: u64) {
        self.0.replayed.fetch_add(claims, Relaxed);
    }

    /// Counts a claim that was answered with 503.
    pub fn not_stored(&self) {
        self.0.not_stored.fetch_add(1, Relaxed);
    }

    /// Notes how long a claim that came alone took.
    pub fn took(&self, time: Duration) {
        self.0.slowest_us.fetch_max(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Logs what came in, if anything did, and starts to count from zero.
    pub fn log(&self) {
        let take = |count: &AtomicU64| count.swap(0, Relaxed);
        let Counts { accepted, refused, replayed, not_stored, slowest_us } = &*self.0;
        let [accepted, refused, replayed, not_stored] = [accepted, refused, replayed, not_stored].map(take);
        let slowest_us = take(slowest_us);
        if accepted + refused + replayed + not_stored > 0 {
            let slowest_ms = slowest_us.div_ceil(1_000);
            tracing::info!(accepted, refused, replayed, not_stored, slowest_ms, "claims answered");
        }
    }

    /// Begins to log, once a second.
    pub fn keep_logging(&self) -> Periodic {
        let tally = self.clone();
        Periodic::spawn("claims log", LOG_EVERY, move || {
            tally.log();
            Pace::Pause
        })
    }
}
