//! The gateway is down while claims wait. The long form is `cargo run -p concurrency_model --example outage`.

use std::time::Duration;
use system_tests::outage::{self, Away, Plan};
use system_tests::stack::Stack;

/// Calls a second that the gateway takes.
const PACE: f64 = 40.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_down_costs_time_and_no_claims_and_nothing_falls_upon_it_when_it_returns() {
    let settings = [
        ("SIMULATED_GATEWAY__THROUGHPUT__SCHEDULE", "40@0s"),
        ("SIMULATED_GATEWAY__THROUGHPUT__CALL_MS", "50"),
        ("SIMULATED_GATEWAY__THROUGHPUT__MAX_QUEUED", "20"),
        // A machine that stands still for a few seconds must not cost partitions here.
        ("PAYMENTS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "10000"),
    ];
    let mut stack = Stack::start_with(1, &settings).await;
    let (outage, timeout) = (Duration::from_secs(15), Duration::from_secs(120));
    let plan = Plan { away: Away::Killed, claims: 300, outage, timeout };
    let report = outage::stand(&mut stack, plan).await;

    // The audit has said already that each ended as its cents say.
    assert_eq!(report.partitions_revoked, 0, "{report}");
    let [before, during, after] = report.most_resident_mib();
    assert!(before > 1.0 && during.max(after) < before + 64.0, "{report}");
    let most = report.most_calls_after_return();
    assert!(most < 2.0 * PACE, "{report}");
}
