//! Counts how much a test increments one counter. The counters of `/metrics` belong to the whole process, in which other tests
//! run.

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the increments of one counter while it is the thread's recorder (`metrics::set_default_local_recorder`).
#[derive(Debug)]
pub struct Tally {
    name: &'static str,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Tally {
    /// A tally of the counter with this name.
    pub fn of(name: &'static str) -> Self {
        Self { name, count: Arc::default() }
    }

    /// The sum of the increments so far.
    pub fn total(&self) -> u64 {
        self.count.0.load(Ordering::SeqCst)
    }
}

impl CounterFn for Count {
    fn increment(&self, by: u64) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    fn absolute(&self, _: u64) {}
}

impl Recorder for Tally {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == self.name { Counter::from_arc(Arc::clone(&self.count)) } else { Counter::noop() }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
