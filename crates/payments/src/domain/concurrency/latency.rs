//! How long calls take: means over windows of calls, and the baseline among them.

use super::terms::Ended;
use std::collections::VecDeque;

/// How many windows the baseline looks back. A cycle of growing and draining takes fewer at every limit up to 10,000.
pub const BASELINE_WINDOWS: usize = 64;
/// How many standard errors of its mean a latency may be off by chance.
const STANDARD_ERRORS: f64 = 2.0;

/// Calls that were answered since the window began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    pub(super) began_us: i64,
    pub(super) calls: usize,
    /// Whether calls waited for a permit meanwhile.
    pub(super) work_waited: bool,
    sum_us: f64,
    sum_of_squares: f64,
    in_use: usize,
}

/// The mean of a window's latencies, and how far it may be off by chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    pub(super) mean_us: f64,
    error_us: f64,
}

/// The latencies of past windows, the latest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies(VecDeque<Latency>);

impl Window {
    pub(super) fn since(began_us: i64) -> Self {
        Self { began_us, ..Self::default() }
    }

    pub(super) fn add(&mut self, call: Ended) {
        let latency_us = real((call.now_us - call.began_us).max(1));
        self.calls += 1;
        self.sum_us += latency_us;
        self.sum_of_squares += latency_us * latency_us;
        self.in_use += call.load.in_use;
        self.work_waited |= call.load.waiting > 0;
    }

    pub(super) fn latency(&self) -> Latency {
        let calls = as_real(self.calls);
        let mean_us = self.sum_us / calls;
        let variance = (self.sum_of_squares / calls - mean_us * mean_us).max(0.0);
        Latency { mean_us, error_us: STANDARD_ERRORS * (variance / calls).sqrt() }
    }

    pub(super) fn mean_in_use(&self) -> f64 {
        as_real(self.in_use) / as_real(self.calls)
    }
}

impl Latency {
    /// Whether it is more than so many times the other, and not by chance.
    pub(super) fn exceeds(&self, other: &Self, times: f64) -> bool {
        self.mean_us - self.error_us > times * (other.mean_us + other.error_us)
    }

    /// The same, or one of so long where it is shorter.
    pub(super) fn at_least(self, shortest_us: f64) -> Self {
        Self { mean_us: self.mean_us.max(shortest_us), ..self }
    }

    pub(super) fn whole_us(&self) -> i64 {
        self.mean_us as i64
    }
}

impl Latencies {
    /// The lowest.
    pub(super) fn baseline(&self) -> Option<Latency> {
        self.0.iter().copied().min_by(|a, b| a.mean_us.total_cmp(&b.mean_us))
    }

    pub(super) fn note(&mut self, latency: Latency) {
        if self.0.len() == BASELINE_WINDOWS {
            self.0.pop_front();
        }
        self.0.push_back(latency);
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Numbers of calls, which are small.
pub(super) fn as_real(calls: usize) -> f64 {
    u32::try_from(calls).map_or(f64::from(u32::MAX), f64::from)
}

/// Times, which are far below 2^52 microseconds.
fn real(us: i64) -> f64 {
    us as f64
}
