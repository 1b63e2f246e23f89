//! Measures an idle system: what it costs to wait, and how long one claim takes to be answered and settled.

use super::claims;
use super::meter::Meter;
use super::run::Benchmark;
use super::statistics::{Figures, Latencies};
use super::system::On;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The claims that are sent one at a time.
const CLAIMS: u64 = 30;
/// How long the system rests before it is measured, and between claims.
const REST: Duration = Duration::from_millis(300);
/// How long waiting is measured.
const IDLE: Duration = Duration::from_secs(10);
/// How often a claim is read until it is settled.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long a claim may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Measures one claim_process and one payments.
pub async fn measure(benchmark: &mut Benchmark, on: On) {
    let system = benchmark.system(on, 1).await;
    let first = benchmark.take_numbers(CLAIMS + 1);
    let (mut answered, mut settled) = (Latencies::default(), Latencies::default());
    for number in first..=first + CLAIMS {
        // Rests the system.
        tokio::time::sleep(REST).await;
        let mut body = Vec::new();
        claims::write_json(number, &mut body);
        let claim: Value = serde_json::from_slice(&body).expect("a claim is JSON");
        let sent = Instant::now();
        let stored = system.stack.api.submit(&claim, &format!("lone-{number}")).await;
        let took = sent.elapsed();
        let id = stored["id"].as_str().expect("an id");
        while system.stack.api.claim(id).await.is_none_or(|claim| claim["status"] != "settled") {
            assert!(sent.elapsed() < LIMIT, "claim {id} is not settled");
            // Polls, because that is how a sender waits.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // The first one opens connections.
        if number > first {
            answered.add(took.as_micros());
            settled.add(sent.elapsed().as_micros());
        }
    }
    benchmark.add(&format!("{}lone claim, answered", on.prefix()), answered.figures());
    benchmark.add(&format!("{}lone claim, settled", on.prefix()), settled.figures());
    let meter = Meter::start(&system).await;
    // The idle time that is measured.
    tokio::time::sleep(IDLE).await;
    let figures = meter.stop(&system, 0).await;
    let shares: Figures = figures.into_iter().filter(|(name, _)| name.starts_with("cpu_share/")).collect();
    benchmark.add(&format!("{}idle", on.prefix()), shares);
    system.stop();
}
