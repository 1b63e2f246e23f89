//! Samples a running system every second: the metrics of the first payments, the reconciliation of claim_process, and the resident
//! memory of payments.

use crate::api::Api;
use crate::stack::Stack;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use test_support::eventually;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// The interval between samples.
const EVERY: Duration = Duration::from_secs(1);

/// The sample at the end of a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Second {
    /// The time of the sample, in seconds since the start.
    pub at_s: f64,
    /// Ended gateway calls per second.
    pub calls: f64,
    /// Gateway calls with a definite answer, per second.
    pub answered: f64,
    /// The limit on concurrent calls.
    pub limit: f64,
    /// Calls that wait for a permit.
    pub waiting: f64,
    /// Messages that payments has received in total.
    pub received: f64,
    /// Claims that have ended in total.
    pub ended: f64,
    /// The resident memory of payments, in MiB.
    pub resident_mib: f64,
}

/// Totals from the metrics.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    calls: f64,
    indefinite: f64,
}

/// Samples a system until it is dropped.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    seconds: Arc<Mutex<Vec<Second>>>,
    watching: JoinHandle<()>,
}

impl Watch {
    /// Starts sampling the first payments of a system. It must not be restarted meanwhile.
    pub fn start(stack: &Stack) -> Self {
        let began = Instant::now();
        let seconds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&seconds);
        let api = stack.api.clone();
        let id = stack.payments.first().and_then(crate::process::Process::id);
        let watching = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut counts, mut last) = (Counts::default(), Second::default());
            loop {
                ticks.tick().await;
                if let Some((now, second)) = look(&api, id, began, counts, last).await {
                    (counts, last) = (now, second);
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(second);
                }
            }
        });
        Self { began, seconds, watching }
    }

    /// The time since the start, in seconds.
    pub fn now_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Waits until this many more samples are taken.
    ///
    /// # Panics
    /// If they are not taken.
    pub async fn see(&self, samples: usize) {
        let wanted = self.seconds().len() + samples;
        eventually("more samples", async || (self.seconds().len() >= wanted).then_some(())).await;
    }

    /// The samples so far.
    pub fn seconds(&self) -> Vec<Second> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn look(api: &Api, id: Option<u32>, began: Instant, before: Counts, last: Second) -> Option<(Counts, Second)> {
    let metrics = api.payments_metrics().await?;
    let sums = api.try_reconciliation().await;
    let at_s = began.elapsed().as_secs_f64();
    let counts = Counts {
        calls: metric(&metrics, "gateway_call_seconds_count"),
        indefinite: metric(&metrics, "gateway_indefinite_total"),
    };
    let calls = counts.calls - before.calls;
    let answered = calls - (counts.indefinite - before.indefinite);
    let passed_s = (at_s - last.at_s).max(0.001);
    let second = Second {
        at_s,
        calls: calls / passed_s,
        answered: answered.max(0.0) / passed_s,
        limit: metric(&metrics, "gateway_concurrency_limit"),
        waiting: metric(&metrics, "gateway_concurrency_waiting"),
        received: metric(&metrics, "messages_received_total"),
        ended: sums.map_or(last.ended, |sums| ended(&sums) as f64),
        resident_mib: id.and_then(resident_mib).unwrap_or(last.resident_mib),
    };
    Some((counts, second))
}

/// The number of ended claims in a reconciliation.
pub fn ended(sums: &Value) -> u64 {
    ["settled", "unwound"].iter().filter_map(|end| sums[end]["claims"].as_u64()).sum()
}

/// The sum of a metric over its labels; 0 if it does not exist.
pub fn metric(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let values = lines.filter(|rest| rest.starts_with([' ', '{'])).filter_map(|rest| rest.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).fold(0.0, |sum, value| sum + value)
}

/// The resident memory of a process, in MiB.
fn resident_mib(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib / 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let metrics = "# TYPE a_total counter\na_total{of=\"x\"} 2\na_total{of=\"y z\"} 3\na_total_more 7\nb 1.5\n";
        assert!((metric(metrics, "a_total") - 5.0).abs() < f64::EPSILON);
        assert!((metric(metrics, "b") - 1.5).abs() < f64::EPSILON);
        assert!(metric(metrics, "c").abs() < f64::EPSILON);
    }
}
