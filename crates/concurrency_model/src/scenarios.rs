//! The scenarios: gateways whose capacity falls to a tenth and recovers, and callers with more work than they can take.

use crate::gateway::{Gateway, Phase};
use crate::simulation::{CallLimit, Scenario, Work};
use payments::domain::concurrency::Limits;
use payments::settings::Settings;

/// One second, in microseconds.
pub const SECOND_US: i64 = 1_000_000;
/// The length of a phase, in microseconds.
pub const PHASE_US: i64 = 60 * SECOND_US;
/// The processing time of a call in a healthy phase, in microseconds.
pub const CALL_US: i64 = 50_000;
/// The default bound of the gateway's queue.
pub const MAX_QUEUED: usize = 1_000;

/// The fixed limits that the controller is compared with.
pub const FIXED_LIMITS: [usize; 3] = [8, 64, 512];

/// The default settings of `payments`, with the largest fixed limit as the ceiling.
pub fn adaptive() -> CallLimit {
    CallLimit::Adaptive(Limits { ceiling: 512, ..Settings::default().gateway.concurrency_limits() })
}

/// 200, then 20, then 200 calls a second: only one of ten workers is left in between.
pub fn fewer_workers(limit: CallLimit, seed: u64) -> Scenario {
    three_phases([(10, CALL_US), (1, CALL_US), (10, CALL_US)], limit, seed)
}

/// 200, then 20, then 200 calls a second: each call takes ten times as long in between.
pub fn slower_calls(limit: CallLimit, seed: u64) -> Scenario {
    three_phases([(10, CALL_US), (10, 10 * CALL_US), (10, CALL_US)], limit, seed)
}

/// 200 calls a second, then an outage, then 200 again.
pub fn outage(limit: CallLimit, seed: u64) -> Scenario {
    three_phases([(10, CALL_US), (0, CALL_US), (10, CALL_US)], limit, seed)
}

/// 200 calls a second for `for_us` microseconds.
pub fn steady(limit: CallLimit, seed: u64, for_us: i64) -> Scenario {
    let phases = vec![Phase { from_us: 0, workers: 10, call_us: CALL_US }];
    scenario(phases, for_us, limit, seed)
}

/// Three phases, each given by its workers and the processing time of a call in microseconds.
fn three_phases(phases: [(usize, i64); 3], limit: CallLimit, seed: u64) -> Scenario {
    let starts = [0, PHASE_US, 2 * PHASE_US];
    let phases = starts.into_iter().zip(phases);
    let phases = phases.map(|(from_us, (workers, call_us))| Phase { from_us, workers, call_us }).collect();
    scenario(phases, 3 * PHASE_US, limit, seed)
}

fn scenario(phases: Vec<Phase>, until_us: i64, limit: CallLimit, seed: u64) -> Scenario {
    let time_out_ms = Settings::default().gateway.request_timeout_ms;
    Scenario {
        gateway: Gateway { phases, max_queued: MAX_QUEUED, spread: 0.2, failing: 0.0 },
        limit,
        work: Work::Endless,
        time_out_us: i64::try_from(time_out_ms).unwrap_or(i64::MAX / 1_000) * 1_000,
        until_us,
        seed,
    }
}
