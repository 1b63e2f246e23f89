//! How many single claims may wait to be stored: as many as are stored in the time that a claim may wait. The others are
//! refused at once, so that those that are taken are answered soon, however many senders there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Over how long it is measured how many claims are stored.
const MEASURED_OVER: Duration = Duration::from_millis(100);

/// How many claims may wait while none is refused: until a burst has been measured, the rate is that of quieter times.
const LEAST: usize = 256;

/// How many may wait while others are refused, however slowly they are stored: fewer would make each commit dearer.
const LEAST_UNDER_LOAD: usize = 16;

/// Admits single claims. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Claims that wait now.
    waiting: AtomicUsize,
    /// How many may.
    limit: AtomicUsize,
    /// Whether a claim was refused since it was last measured.
    refused: AtomicBool,
    max_wait: Duration,
    measured: Mutex<Measured>,
}

/// How many claims were answered since then.
#[derive(Debug)]
struct Measured {
    since: Instant,
    claims: usize,
}

impl Admission {
    /// Lets claims wait for about `max_wait`.
    pub fn new(max_wait: Duration) -> Self {
        let measured = Mutex::new(Measured { since: Instant::now(), claims: 0 });
        let (waiting, limit, refused) = (AtomicUsize::new(0), AtomicUsize::new(LEAST), AtomicBool::new(false));
        Self(Arc::new(Shared { waiting, limit, refused, max_wait, measured }))
    }

    /// Whether as many wait as may, so that another claim need not be read.
    pub fn is_full(&self) -> bool {
        let Shared { waiting, limit, refused, .. } = &*self.0;
        let is_full = waiting.load(Relaxed) >= limit.load(Relaxed);
        refused.fetch_or(is_full, Relaxed);
        is_full
    }

    /// A place for one claim, which is free again once it is dropped; `None` where as many wait as may.
    pub fn admit(&self) -> Option<Place> {
        let Shared { waiting, limit, refused, .. } = &*self.0;
        if waiting.fetch_add(1, Relaxed) < limit.load(Relaxed) {
            return Some(Place(Arc::clone(&self.0)));
        }
        waiting.fetch_sub(1, Relaxed);
        refused.store(true, Relaxed);
        None
    }
}

/// The place of a claim that waits.
#[derive(Debug)]
pub struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.note_answered(Instant::now());
    }
}

impl Shared {
    fn note_answered(&self, now: Instant) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.claims += 1;
        let passed = now.duration_since(measured.since);
        if passed >= MEASURED_OVER {
            let in_max_wait = measured.claims as f64 * self.max_wait.as_secs_f64() / passed.as_secs_f64();
            let least = if self.refused.swap(false, Relaxed) { LEAST_UNDER_LOAD } else { LEAST };
            self.limit.store((in_max_wait as usize).max(least), Relaxed);
            *measured = Measured { since: now, claims: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_WAIT: Duration = Duration::from_millis(200);

    #[test]
    fn as_many_may_wait_as_are_stored_in_that_time() {
        let admission = Admission::new(MAX_WAIT);
        let admitted = || {
            let places: Vec<_> = std::iter::from_fn(|| admission.admit()).collect();
            places.len()
        };
        let stored = |claims: usize, over_ms: u64| {
            let since = Instant::now();
            *admission.0.measured.lock().unwrap() = Measured { since, claims: claims - 1 };
            admission.0.note_answered(since + Duration::from_millis(over_ms));
        };
        assert_eq!(admitted(), LEAST);
        assert_eq!(admitted(), LEAST, "the places are free again");
        stored(1_000, 100);
        assert_eq!(admitted(), 2_000);
        stored(50, 100);
        assert_eq!(admitted(), 100, "fewer than are let in while none is refused");
        stored(1, 100);
        assert_eq!(admitted(), LEAST_UNDER_LOAD);
        admission.0.refused.store(false, Relaxed);
        stored(1, 1_000);
        assert!(!admission.is_full());
        assert_eq!(admitted(), LEAST, "a burst after quieter times");
    }
}
