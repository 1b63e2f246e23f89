//! Measures payments: of claims that wait in a full topic, and from the submission of a batch to the last outcome. The simulated
//! gateway approves each payment.

use super::meter::Meter;
use super::run::Benchmark;
use super::submitting::{Format, submit};
use super::system::{On, System};
use std::time::Duration;

/// How long all claims may take.
const LIMIT: Duration = Duration::from_secs(900);
/// The claims that are paid before the measurement.
const WARM_UP_CLAIMS: u64 = 1_000;
/// The share of the limit is taken of this group size.
pub const GROUP: u32 = 64;
const PUBLISHED: &str = "events_delivered_total";
const APPLIED: &str = "outcomes_applied_total";

/// Measures one payments alone, from its first outcomes to the last: claim_process is stopped when it has published all claims.
pub async fn payments_stage(benchmark: &mut Benchmark) {
    let mut system = benchmark.system(On::Servers, 1).await;
    let claims = benchmark.plan.paid_claims;
    let first = benchmark.take_numbers(WARM_UP_CLAIMS + claims);
    pay(&system, first, WARM_UP_CLAIMS).await;
    system.stack.payments[0].stop();
    submit(&system, Format::Ndjson, first + WARM_UP_CLAIMS, claims).await;
    system.claim_process_counts(PUBLISHED, (WARM_UP_CLAIMS + claims) as f64, LIMIT).await;
    system.stack.claim_process[0].stop();
    system.stack.payments[0].start();
    let published = async |wanted| system.payments_count(PUBLISHED, wanted, LIMIT).await;
    published(1.0).await;
    let before = system.payments_metrics().await.get(PUBLISHED).copied().unwrap_or_default();
    let meter = Meter::start(&system).await;
    published(claims as f64).await;
    let figures = meter.stop(&system, claims - before as u64).await;
    benchmark.add_share("payments alone", figures, On::Servers, GROUP);
    system.stop();
}

/// Measures from the first byte of a batch to the last outcome.
pub async fn end_to_end(benchmark: &mut Benchmark, on: On) {
    for payments in benchmark.plan.payments.clone() {
        let system = benchmark.system(on, payments).await;
        let claims = benchmark.plan.paid_claims;
        let first = benchmark.take_numbers(WARM_UP_CLAIMS + claims);
        pay(&system, first, WARM_UP_CLAIMS).await;
        let meter = Meter::start(&system).await;
        pay(&system, first + WARM_UP_CLAIMS, claims).await;
        let figures = meter.stop(&system, claims).await;
        assert_eq!(system.settled().await, WARM_UP_CLAIMS + claims, "every claim is settled");
        benchmark.add_share(&format!("end to end, {payments} payments"), figures, on, GROUP);
        system.stop();
    }
}

/// Submits a batch, and waits until all its outcomes are applied.
async fn pay(system: &System, first: u64, claims: u64) {
    let before = system.claim_process_metrics().await.get(APPLIED).copied().unwrap_or_default();
    submit(system, Format::Ndjson, first, claims).await;
    system.claim_process_counts(APPLIED, before + claims as f64, LIMIT).await;
}
