//! Checks the controller in virtual time, each scenario with several seeds: the share of a changing capacity that it uses, how
//! soon it adapts, and how many calls it loses.

use concurrency_model::gateway::Phase;
use concurrency_model::report::{Fared, SAMPLE_US, Sample, fared};
use concurrency_model::scenarios::{
    CALL_US, FIXED_LIMITS, PHASE_US, SECOND_US, adaptive, fewer_workers, outage, slower_calls, steady,
};
use concurrency_model::simulation::{CallLimit, Scenario, Work, run};
use payments::domain::concurrency::Reason;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

fn each_phase(scenario: &Scenario) -> Vec<Fared> {
    let run = run(scenario);
    scenario.spans().iter().map(|span| fared(&run.samples, span)).collect()
}

fn between(samples: &[Sample], from_us: i64, until_us: i64) -> Vec<Sample> {
    samples.iter().filter(|sample| (from_us..until_us).contains(&sample.at_us)).copied().collect()
}

#[test]
fn a_capacity_that_falls_and_recovers_is_used_to_nine_tenths_without_timeouts() {
    // If a call takes half a second, a window of calls takes seconds, and the controller needs several windows to adapt.
    for (scenario, adapted_within_s) in [(fewer_workers as fn(CallLimit, u64) -> Scenario, 5.0), (slower_calls, 20.0)] {
        for seed in SEEDS {
            for phase in each_phase(&scenario(adaptive(), seed)) {
                assert!(phase.used >= 0.9, "seed {seed}: {phase:?}");
                assert!(phase.timed_out + phase.refused == 0.0, "seed {seed}: {phase:?}");
                assert!(
                    phase.adapted_after_s.is_some_and(|seconds| seconds <= adapted_within_s),
                    "seed {seed}: {phase:?}"
                );
            }
        }
    }
}

#[test]
fn latency_is_a_fraction_of_that_of_a_fixed_limit_with_the_same_throughput() {
    for seed in SEEDS {
        let [adaptive, fixed] = [adaptive(), CallLimit::Fixed(64)].map(|limit| each_phase(&fewer_workers(limit, seed)));
        for (adaptive, fixed) in adaptive.iter().zip(&fixed) {
            assert!(adaptive.latency_us < fixed.latency_us / 3.0, "seed {seed}: {adaptive:?} {fixed:?}");
        }
    }
}

#[test]
fn each_fixed_limit_fails_in_some_phase() {
    let [small, middle, large] = FIXED_LIMITS.map(|limit| each_phase(&fewer_workers(CallLimit::Fixed(limit), 1)));
    assert!(small[0].used < 0.85, "too small to use the capacity: {:?}", small[0]);
    assert!(middle[1].latency_us > 3.0e6, "calls queue for seconds: {:?}", middle[1]);
    assert!(large[1].used < 0.02, "the gateway processes calls that have timed out: {:?}", large[1]);
}

#[test]
fn calls_of_different_length_are_not_taken_for_a_queue() {
    for seed in SEEDS {
        let mut scenario = fewer_workers(adaptive(), seed);
        scenario.gateway.spread = 0.8;
        for phase in each_phase(&scenario) {
            assert!(phase.used >= 0.85 && phase.timed_out == 0.0, "seed {seed}: {phase:?}");
        }
    }
}

#[test]
fn a_gateway_that_refuses_instead_of_queueing_is_used_with_few_refusals() {
    for seed in SEEDS {
        let mut scenario = fewer_workers(adaptive(), seed);
        scenario.gateway.max_queued = 0;
        for phase in each_phase(&scenario) {
            assert!(phase.used >= 0.85 && phase.refused < 0.06, "seed {seed}: {phase:?}");
        }
    }
}

#[test]
fn failures_independent_of_the_load_do_not_reduce_the_limit() {
    for failing in [0.01, 0.02, 0.05] {
        for seed in SEEDS {
            let mut scenario = steady(adaptive(), seed, 3 * PHASE_US);
            scenario.gateway.failing = failing;
            for phase in each_phase(&scenario) {
                assert!(phase.used >= 0.9 * (1.0 - failing), "{failing}, seed {seed}: {phase:?}");
                assert!(phase.timed_out == 0.0, "{failing}, seed {seed}: {phase:?}");
            }
        }
    }
}

#[test]
fn a_tenfold_capacity_is_used_and_given_up_again() {
    for seed in SEEDS {
        let mut scenario = steady(adaptive(), seed, 3 * PHASE_US);
        let phase = |index: i64, workers| Phase { from_us: index * PHASE_US, workers, call_us: CALL_US };
        scenario.gateway.phases = vec![phase(0, 10), phase(1, 100), phase(2, 10)];
        for phase in each_phase(&scenario) {
            assert!(phase.used >= 0.9 && phase.timed_out + phase.refused == 0.0, "seed {seed}: {phase:?}");
            assert!(phase.adapted_after_s.is_some_and(|seconds| seconds <= 5.0), "seed {seed}: {phase:?}");
        }
    }
}

#[test]
fn a_gateway_that_recovers_is_used_within_seconds_and_without_a_burst() {
    for seed in SEEDS {
        let scenario = outage(adaptive(), seed);
        let run = run(&scenario);
        let away = between(&run.samples, PHASE_US + 5 * SECOND_US, 2 * PHASE_US);
        assert!(away.iter().all(|sample| sample.limit == 1), "seed {seed}: the limit is the floor");
        let probes =
            between(&away, PHASE_US + PHASE_US / 2, 2 * PHASE_US).iter().map(|sample| sample.made).sum::<u64>();
        let seconds = (PHASE_US / 2 / SECOND_US).unsigned_abs();
        assert!((seconds - 1..=seconds + 1).contains(&probes), "seed {seed}: once a second, not {probes} times");
        let back = between(&run.samples, 2 * PHASE_US, 3 * PHASE_US);
        // Its capacity is 200 calls a second.
        let most = back.iter().map(|sample| sample.made * 1_000_000 / SAMPLE_US.unsigned_abs()).max();
        assert!(most.is_some_and(|most| most <= 240), "seed {seed}: {most:?} calls a second");
        let fared = fared(&run.samples, &scenario.spans()[2]);
        assert!(fared.used >= 0.9, "seed {seed}: {fared:?}");
        assert!(fared.adapted_after_s.is_some_and(|seconds| seconds <= 5.0), "seed {seed}: {fared:?}");
    }
}

#[test]
fn an_hour_of_load_moves_neither_the_baseline_nor_the_limit() {
    let minutes = |minutes: i64| minutes * 60 * SECOND_US;
    let run = run(&steady(adaptive(), 1, minutes(60)));
    let mean = |from, until| {
        let samples = between(&run.samples, minutes(from), minutes(until));
        let latency_us: i64 = samples.iter().map(|sample| sample.latency_us).sum();
        let answered: u64 = samples.iter().map(|sample| sample.answered).sum();
        latency_us as f64 / answered as f64
    };
    let (early, late) = (mean(1, 10), mean(50, 60));
    assert!(late < 1.2 * early && late < 2.0 * CALL_US as f64, "{early} µs to {late} µs");
}

#[test]
fn work_below_the_capacity_is_done_at_once_and_the_limit_stays_small() {
    for seed in SEEDS {
        let mut scenario = steady(adaptive(), seed, PHASE_US);
        scenario.work = Work::PerSecond(100.0);
        let run = run(&scenario);
        let fared = fared(&run.samples, &scenario.spans()[0]);
        assert!((0.45..0.55).contains(&fared.used), "the work is half of the capacity: {fared:?}");
        assert!(fared.latency_us < 1.2 * CALL_US as f64, "{fared:?}");
        assert!(fared.limit < 30.0, "{fared:?}");
    }
}

#[test]
fn the_limit_returns_to_its_start_when_the_work_ends() {
    let mut scenario = steady(adaptive(), 1, PHASE_US);
    scenario.gateway.phases[0].workers = 200;
    let busy = run(&scenario);
    let grown = busy.samples.last().map(|sample| sample.limit);
    assert!(grown.is_some_and(|limit| limit > 100), "{grown:?}");
    scenario.work = Work::PerSecond(10.0);
    if let CallLimit::Adaptive(limits) = &mut scenario.limit {
        limits.start = 4;
    }
    let quiet = run(&scenario);
    assert!(quiet.samples.iter().all(|sample| sample.limit <= 8), "no call waits for long enough to raise the limit");
    assert!(quiet.decisions.iter().all(|decision| matches!(decision.reason, Reason::Demand | Reason::Idle)));
}
