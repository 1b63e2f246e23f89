//! What is tried: gateways whose capacity falls to a tenth and comes back, and callers with more work than that.

use crate::gateway::{Gateway, Phase};
use crate::simulation::{Scenario, Sizing, Work};
use payments::domain::concurrency::Limits;
use payments::settings::Settings;

/// A second, in microseconds.
pub const SECOND_US: i64 = 1_000_000;
/// How long each phase is, in microseconds.
pub const PHASE_US: i64 = 60 * SECOND_US;
/// How long a call takes while the gateway has all its workers, in microseconds.
pub const CALL_US: i64 = 50_000;
/// Calls that may wait in the gateway where nothing else is said.
pub const MAX_QUEUED: usize = 1_000;

/// The fixed numbers that the controller is compared with.
pub const FIXED_SIZES: [usize; 3] = [8, 64, 512];

/// As `payments` is set by default, with a ceiling that none of the fixed numbers has an advantage over.
pub fn adaptive() -> Sizing {
    Sizing::Adaptive(Limits { ceiling: 512, ..Settings::default().gateway.concurrency_limits() })
}

/// 200, then 20, then 200 calls a second, because only one of ten workers is left in between.
pub fn fewer_workers(sizing: Sizing, seed: u64) -> Scenario {
    three_phases([(10, CALL_US), (1, CALL_US), (10, CALL_US)], sizing, seed)
}

/// 200, then 20, then 200 calls a second, because each call takes ten times as long in between.
pub fn slower_calls(sizing: Sizing, seed: u64) -> Scenario {
    three_phases([(10, CALL_US), (10, 10 * CALL_US), (10, CALL_US)], sizing, seed)
}

/// 200 calls a second, then nobody is there, then 200 again.
pub fn outage(sizing: Sizing, seed: u64) -> Scenario {
    three_phases([(10, CALL_US), (0, CALL_US), (10, CALL_US)], sizing, seed)
}

/// 200 calls a second for so long.
pub fn steady(sizing: Sizing, seed: u64, for_us: i64) -> Scenario {
    let phases = vec![Phase { from_us: 0, workers: 10, call_us: CALL_US }];
    scenario(phases, for_us, sizing, seed)
}

/// The phases, each with its workers and how long a call takes in microseconds.
fn three_phases(phases: [(usize, i64); 3], sizing: Sizing, seed: u64) -> Scenario {
    let starts = [0, PHASE_US, 2 * PHASE_US];
    let phases = starts.into_iter().zip(phases);
    let phases = phases.map(|(from_us, (workers, call_us))| Phase { from_us, workers, call_us }).collect();
    scenario(phases, 3 * PHASE_US, sizing, seed)
}

fn scenario(phases: Vec<Phase>, until_us: i64, sizing: Sizing, seed: u64) -> Scenario {
    let time_out_ms = Settings::default().gateway.request_timeout_ms;
    Scenario {
        gateway: Gateway { phases, max_queued: MAX_QUEUED, spread: 0.2, failing: 0.0 },
        sizing,
        work: Work::Endless,
        time_out_us: i64::try_from(time_out_ms).unwrap_or(i64::MAX / 1_000) * 1_000,
        until_us,
        seed,
    }
}
