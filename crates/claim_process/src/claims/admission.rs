//! How many single claims may wait to be stored: as many as are stored in the time that a claim may wait. The others are
//! refused at once, so that those that are taken are answered soon, however many senders there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Over how long it is measured how many claims are stored.
const MEASURED_OVER: Duration = Duration::from_millis(100);

/// How many claims may wait in any case: until a burst has been measured, the rate is that of quieter times.
const LEAST: usize = 256;

/// Admits single claims. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Claims that wait now.
    waiting: AtomicUsize,
    /// How many may.
    limit: AtomicUsize,
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
        let (waiting, limit) = (AtomicUsize::new(0), AtomicUsize::new(LEAST));
        Self(Arc::new(Shared { waiting, limit, max_wait, measured }))
    }

    /// A place for one claim, which is free again once it is dropped; `None` where as many wait as may.
    pub fn admit(&self) -> Option<Place> {
        let Shared { waiting, limit, .. } = &*self.0;
        if waiting.fetch_add(1, Relaxed) < limit.load(Relaxed) {
            return Some(Place(Arc::clone(&self.0)));
        }
        waiting.fetch_sub(1, Relaxed);
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
            self.limit.store((in_max_wait as usize).max(LEAST), Relaxed);
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
        assert_eq!(admitted(), LEAST);
        assert_eq!(admitted(), LEAST, "the places are free again");
        let since = Instant::now();
        *admission.0.measured.lock().unwrap() = Measured { since, claims: 0 };
        // One each 100 µs.
        for number in 1..=1_000 {
            admission.0.note_answered(since + Duration::from_micros(100) * number);
        }
        assert_eq!(admitted(), 2_000);
        // One in a second.
        admission.0.note_answered(since + Duration::from_secs(2));
        assert_eq!(admitted(), LEAST, "a burst after quieter times");
    }
}
