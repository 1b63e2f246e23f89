//! A gateway that fails at random: almost every second request is lost, refused, or answered incompletely.

use std::time::Duration;
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::ALL;
use system_tests::stack::Stack;
use system_tests::watch::metric;

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_all_fates_end_correctly_with_a_gateway_that_fails_at_random() {
    let settings = [
        ("SIMULATED_GATEWAY__FAULTS__LOST_REQUEST_PERCENT", "10"),
        ("SIMULATED_GATEWAY__FAULTS__LOST_ANSWER_PERCENT", "10"),
        ("SIMULATED_GATEWAY__FAULTS__HALF_ANSWER_PERCENT", "10"),
        ("SIMULATED_GATEWAY__FAULTS__SERVER_ERROR_PERCENT", "10"),
        ("SIMULATED_GATEWAY__FAULTS__TOO_MANY_PERCENT", "5"),
    ];
    let stack = Stack::start_with(1, &settings).await;
    let mut accepted = Vec::new();
    for number in 0..88 {
        let fate = ALL[usize::try_from(number).expect("small") % ALL.len()];
        let claim = stack.api.submit(&fate.claim(number), &format!("key-{number}")).await;
        accepted.push(Accepted::new(claim["id"].as_str().expect("an id").to_owned(), fate));
    }
    audit::check(&stack.api, &accepted, Duration::from_secs(120), Strictness::EndedOnce).await;
    let metrics = stack.api.payments_metrics().await.expect("answers");
    let (calls, indefinite) =
        (metric(&metrics, "gateway_call_seconds_count"), metric(&metrics, "gateway_indefinite_total"));
    assert!(indefinite > calls / 4.0, "{indefinite} of {calls} calls had no definite answer");
}
