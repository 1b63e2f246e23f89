//! Counts how much a test increments one counter, or keeps the value of one gauge. The metrics of `/metrics` belong to the whole
//! process, in which other tests run.

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the increments of one counter, or keeps the value of one gauge, while it is the thread's recorder (`metrics::set_default_local_recorder`).
#[derive(Debug)]
pub struct Tally {
    name: &'static str,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Tally {
    /// A tally of the counter or gauge with this name.
    pub fn of(name: &'static str) -> Self {
        Self { name, count: Arc::default() }
    }

    /// The sum of the increments so far.
    pub fn total(&self) -> u64 {
        self.count.0.load(Ordering::SeqCst)
    }

    /// The value that the gauge was set to last.
    pub fn gauge(&self) -> f64 {
        f64::from_bits(self.count.0.load(Ordering::SeqCst))
    }
}

impl CounterFn for Count {
    fn increment(&self, by: u64) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Count {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::SeqCst);
    }
}

impl Recorder for Tally {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == self.name { Counter::from_arc(Arc::clone(&self.count)) } else { Counter::noop() }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() == self.name { Gauge::from_arc(Arc::clone(&self.count)) } else { Gauge::noop() }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
