//! An outage of the gateway while claims wait. The long form is `cargo run -p concurrency_model --example outage`.

use std::time::Duration;
use system_tests::outage::{self, Away, Plan};
use system_tests::stack::Stack;

/// The capacity of the gateway, in calls a second.
const PACE: f64 = 40.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_outage_loses_no_claims_and_no_burst_of_calls_follows() {
    let settings = [
        ("SIMULATED_GATEWAY__THROUGHPUT__SCHEDULE", "40@0s"),
        ("SIMULATED_GATEWAY__THROUGHPUT__CALL_MS", "50"),
        ("SIMULATED_GATEWAY__THROUGHPUT__MAX_QUEUED", "20"),
        // A machine that stalls for a few seconds must not lose partitions here.
        ("PAYMENTS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "10000"),
    ];
    let mut stack = Stack::start_with(1, &settings).await;
    let (outage, timeout) = (Duration::from_secs(15), Duration::from_secs(120));
    let plan = Plan { away: Away::Killed, claims: 300, outage, timeout };
    let report = outage::run(&mut stack, plan).await;

    // The audit has already checked the end of each claim.
    assert_eq!(report.partitions_revoked, 0, "{report}");
    let [before, during, after] = report.max_resident_mib();
    assert!(before > 1.0 && during.max(after) < before + 64.0, "{report}");
    let most = report.max_calls_after_outage();
    assert!(most < 2.0 * PACE, "{report}");
}
