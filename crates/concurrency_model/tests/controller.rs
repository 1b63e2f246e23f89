//! The controller in virtual time, held to numbers: how much of a capacity it uses that falls to a tenth and comes back, how
//! soon, and how many calls are lost meanwhile; each with several seeds.

use concurrency_model::gateway::Phase;
use concurrency_model::report::{Fared, SAMPLE_US, Sample, fared};
use concurrency_model::scenarios::{
    CALL_US, FIXED_SIZES, PHASE_US, SECOND_US, adaptive, fewer_workers, outage, slower_calls, steady,
};
use concurrency_model::simulation::{Scenario, Sizing, Work, run};
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
fn a_capacity_that_falls_and_comes_back_is_used_to_nine_tenths_without_time_outs() {
    // Where a call takes half a second, a window of calls takes seconds, and it takes several to find the size.
    for (scenario, adapted_within_s) in [(fewer_workers as fn(Sizing, u64) -> Scenario, 5.0), (slower_calls, 20.0)] {
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
fn calls_take_a_fraction_of_what_they_take_with_fixed_numbers_that_use_as_much() {
    for seed in SEEDS {
        let [adaptive, fixed] = [adaptive(), Sizing::Fixed(64)].map(|sizing| each_phase(&fewer_workers(sizing, seed)));
        for (adaptive, fixed) in adaptive.iter().zip(&fixed) {
            assert!(adaptive.latency_us < fixed.latency_us / 3.0, "seed {seed}: {adaptive:?} {fixed:?}");
        }
    }
}

#[test]
fn each_fixed_number_fails_somewhere_or_the_comparison_is_not_worth_much() {
    let [small, middle, large] = FIXED_SIZES.map(|size| each_phase(&fewer_workers(Sizing::Fixed(size), 1)));
    assert!(small[0].used < 0.85, "too small to use what is there: {:?}", small[0]);
    assert!(middle[1].latency_us > 3.0e6, "calls queue for seconds: {:?}", middle[1]);
    assert!(large[1].used < 0.02, "the gateway works on what nobody waits for any more: {:?}", large[1]);
}

#[test]
fn calls_that_differ_much_are_not_taken_for_a_queue() {
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
fn calls_that_fail_for_themselves_do_not_make_it_small() {
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
fn ten_times_the_capacity_is_found_and_left_again() {
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
fn a_gateway_that_was_away_is_taken_up_within_seconds_and_without_a_herd() {
    for seed in SEEDS {
        let scenario = outage(adaptive(), seed);
        let run = run(&scenario);
        let away = between(&run.samples, PHASE_US + 5 * SECOND_US, 2 * PHASE_US);
        assert!(away.iter().all(|sample| sample.size == 1), "seed {seed}: the floor, and not none");
        let knocks =
            between(&away, PHASE_US + PHASE_US / 2, 2 * PHASE_US).iter().map(|sample| sample.made).sum::<u64>();
        let seconds = (PHASE_US / 2 / SECOND_US).unsigned_abs();
        assert!((seconds - 1..=seconds + 1).contains(&knocks), "seed {seed}: once a second, not {knocks} times");
        let back = between(&run.samples, 2 * PHASE_US, 3 * PHASE_US);
        // 200 calls a second are what it can take.
        let most = back.iter().map(|sample| sample.made * 1_000_000 / SAMPLE_US.unsigned_abs()).max();
        assert!(most.is_some_and(|most| most <= 240), "seed {seed}: {most:?} calls a second");
        let fared = fared(&run.samples, &scenario.spans()[2]);
        assert!(fared.used >= 0.9, "seed {seed}: {fared:?}");
        assert!(fared.adapted_after_s.is_some_and(|seconds| seconds <= 5.0), "seed {seed}: {fared:?}");
    }
}

#[test]
fn an_hour_of_load_moves_neither_the_baseline_nor_the_size() {
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
fn less_work_than_the_gateway_can_take_is_done_at_once_and_the_size_stays_small() {
    for seed in SEEDS {
        let mut scenario = steady(adaptive(), seed, PHASE_US);
        scenario.work = Work::PerSecond(100.0);
        let run = run(&scenario);
        let fared = fared(&run.samples, &scenario.spans()[0]);
        assert!((0.45..0.55).contains(&fared.used), "half of the capacity is asked for: {fared:?}");
        assert!(fared.latency_us < 1.2 * CALL_US as f64, "{fared:?}");
        assert!(fared.size < 30.0, "{fared:?}");
    }
}

#[test]
fn work_that_ends_leaves_the_size_where_it_began() {
    let mut scenario = steady(adaptive(), 1, PHASE_US);
    scenario.gateway.phases[0].workers = 200;
    let busy = run(&scenario);
    let grown = busy.samples.last().map(|sample| sample.size);
    assert!(grown.is_some_and(|size| size > 100), "{grown:?}");
    scenario.work = Work::PerSecond(10.0);
    if let Sizing::Adaptive(limits) = &mut scenario.sizing {
        limits.start = 4;
    }
    let quiet = run(&scenario);
    assert!(quiet.samples.iter().all(|sample| sample.size <= 8), "nothing waits for long enough to grow");
    assert!(quiet.decisions.iter().all(|decision| matches!(decision.reason, Reason::Demand | Reason::Idle)));
}
