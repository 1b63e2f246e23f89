//! The figures of a run, phase by phase.

use std::fmt::Write as _;

/// The interval between samples, in microseconds.
pub const SAMPLE_US: i64 = 500_000;
/// The least share of the capacity that an adapted caller uses.
pub const ADAPTED_SHARE: f64 = 0.9;
/// The largest share of calls that an adapted caller loses.
pub const MAX_LOST: f64 = 0.02;
/// The longest latency of an adapted caller, as a multiple of the processing time.
pub const MAX_LATENCY: f64 = 10.0;
/// The number of samples over which adaptation is judged: two seconds.
const SEEN_OVER: usize = 4;

/// The counts of one interval of [`SAMPLE_US`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// The start of the interval, in microseconds since the start of the run.
    pub at_us: i64,
    /// The limit on concurrent calls at the end of the interval.
    pub limit: usize,
    /// Calls that were started.
    pub made: u64,
    /// Calls that were answered in time.
    pub answered: u64,
    /// Calls that timed out.
    pub timed_out: u64,
    /// Calls that were refused or failed.
    pub refused: u64,
    /// The total latency of the answered calls, in microseconds.
    pub latency_us: i64,
}

/// A part of a run in which the gateway's capacity is constant.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The start, in microseconds.
    pub from_us: i64,
    /// The end, in microseconds.
    pub until_us: i64,
    /// The capacity, in calls a second; 0 while the gateway is down.
    pub capacity: f64,
    /// The processing time of a call, in microseconds.
    pub call_us: i64,
}

/// The figures of a caller in a span. All but the last cover its last two thirds.
#[derive(Debug, Clone, Copy)]
pub struct Fared {
    /// Calls answered in time, as a share of the capacity.
    pub used: f64,
    /// Calls that timed out, as a share of all.
    pub timed_out: f64,
    /// Calls that were refused, as a share of all.
    pub refused: f64,
    /// The mean latency of the answered calls, in microseconds.
    pub latency_us: f64,
    /// The mean limit on concurrent calls.
    pub limit: f64,
    /// Seconds until the caller had adapted, for the next two seconds and from then to the end: it used [`ADAPTED_SHARE`] of the
    /// capacity, lost less than [`MAX_LOST`] of its calls, and their latency was at most [`MAX_LATENCY`] times the processing time.
    pub adapted_after_s: Option<f64>,
}

/// Computes the figures of a caller in a span.
pub fn fared(samples: &[Sample], span: &Span) -> Fared {
    let within: Vec<Sample> =
        samples.iter().filter(|sample| (span.from_us..span.until_us).contains(&sample.at_us)).copied().collect();
    let steady = &within[within.len() / 3..];
    let all = Sums::of(steady);
    Fared {
        used: all.answered / (span.capacity * all.seconds),
        timed_out: all.timed_out / all.calls(),
        refused: all.refused / all.calls(),
        latency_us: all.latency_us / all.answered,
        limit: steady.iter().map(|sample| sample.limit as f64).sum::<f64>() / steady.len() as f64,
        adapted_after_s: within
            .windows(SEEN_OVER)
            .enumerate()
            .position(|(from, seen)| is_adapted(seen, span) && is_adapted(&within[from..], span))
            .map(|samples| samples as f64 * SAMPLE_US as f64 / 1_000_000.0),
    }
}

fn is_adapted(seen: &[Sample], span: &Span) -> bool {
    let seen = Sums::of(seen);
    seen.answered >= ADAPTED_SHARE * span.capacity * seen.seconds
        && seen.timed_out + seen.refused < MAX_LOST * seen.calls()
        && seen.answered > 0.0
        && seen.latency_us <= MAX_LATENCY * span.call_us as f64 * seen.answered
}

struct Sums {
    seconds: f64,
    answered: f64,
    timed_out: f64,
    refused: f64,
    latency_us: f64,
}

impl Sums {
    fn of(samples: &[Sample]) -> Self {
        let sum = |count: fn(&Sample) -> u64| samples.iter().map(count).sum::<u64>() as f64;
        Self {
            seconds: samples.len() as f64 * SAMPLE_US as f64 / 1_000_000.0,
            answered: sum(|sample| sample.answered),
            timed_out: sum(|sample| sample.timed_out),
            refused: sum(|sample| sample.refused),
            latency_us: samples.iter().map(|sample| sample.latency_us).sum::<i64>() as f64,
        }
    }

    fn calls(&self) -> f64 {
        (self.answered + self.timed_out + self.refused).max(1.0)
    }
}

/// The figures of several runs, as a Markdown table.
pub fn table(runs: &[(String, Vec<Sample>)], spans: &[Span]) -> String {
    let mut table = "| limit | capacity | used | timed out | refused | mean latency | mean limit | adapted after |\n\
                     |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (name, samples) in runs {
        for span in spans {
            let Fared { used, timed_out, refused, latency_us, limit, adapted_after_s } = fared(samples, span);
            let latency = if latency_us.is_nan() {
                "none answered".to_owned()
            } else {
                format!("{:.0} ms", latency_us / 1_000.0)
            };
            let used = if used.is_nan() { String::new() } else { format!("{:.0}%", 100.0 * used) };
            let adapted = adapted_after_s.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s"));
            let _ = writeln!(
                table,
                "| {name} | {:.0}/s | {used} | {:.1}% | {:.1}% | {latency} | {limit:.0} | {adapted} |",
                span.capacity,
                100.0 * timed_out,
                100.0 * refused,
            );
        }
    }
    table
}
