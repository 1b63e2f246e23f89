//! What the services cost while nothing is to be done: their probes, polls and timers.

use std::time::{Duration, Instant};
use system_tests::process::Process;
use system_tests::stack::Stack;
use test_support::within;

/// Long enough for every timer of a few seconds to count as often as it does in the long run.
const WATCHED_FOR: Duration = Duration::from_secs(20);
/// The most of a core that a service may use, in hundredths. Without optimization it needs about twice as much.
const MOST_PERCENT: f64 = if cfg!(debug_assertions) { 4.0 } else { 2.0 };
/// The unit of `/proc/<id>/stat`: hundredths of a second on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time that a process has used, in seconds.
fn used_s(process: &Process) -> f64 {
    let id = process.id().expect("it runs");
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    // The name, in parentheses, may contain anything. User and system time are the fields 14 and 15.
    let (_, rest) = stat.rsplit_once(") ").expect("the name is in parentheses");
    let fields: Vec<f64> = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse().expect("a number")).collect();
    fields.iter().sum::<f64>() / TICKS_PER_SECOND
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_services_use_little_of_a_core() {
    // The intervals are the defaults: a test's stack checks its health more often.
    let settings = ["CLAIM_PROCESS", "PAYMENTS"].map(|service| format!("{service}__HEALTH__INTERVAL_MS"));
    let settings: Vec<_> = settings.iter().map(|name| (name.as_str(), "2000")).collect();
    let stack = Stack::start_with(1, &settings).await;
    let services = [&stack.claim_process[0], &stack.payments[0]];
    let began = Instant::now();
    let before = services.map(used_s);
    within(WATCHED_FOR * 3, async || match began.elapsed() {
        elapsed if elapsed >= WATCHED_FOR => Ok(()),
        elapsed => Err(format!("they are watched for {elapsed:?}")),
    })
    .await;
    let elapsed_s = began.elapsed().as_secs_f64();
    for (service, before_s) in services.into_iter().zip(before) {
        let percent = (used_s(service) - before_s) / elapsed_s * 100.0;
        assert!(percent < MOST_PERCENT, "{} uses {percent:.1}% of a core", service.name());
    }
}
