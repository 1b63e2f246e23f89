//! A run in numbers, phase by phase.

use std::fmt::Write as _;

/// How far apart samples are, in microseconds.
pub const SAMPLE_US: i64 = 500_000;
/// The part of the capacity that has to be used for a caller to count as adapted.
pub const ADAPTED_SHARE: f64 = 0.9;
/// The part of the calls that may be lost for a caller to count as adapted.
pub const MOST_LOST: f64 = 0.02;
/// How many times its own time a call may take for its caller to count as adapted.
pub const MOST_LATENCY: f64 = 10.0;
/// Over how many samples that is seen: two seconds.
const SEEN_OVER: usize = 4;

/// What happened in [`SAMPLE_US`] of time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// When it began, in microseconds since the run did.
    pub at_us: i64,
    /// How many calls could be under way, at its end.
    pub size: usize,
    /// Calls that were made.
    pub made: u64,
    /// Calls that were answered in time.
    pub answered: u64,
    /// Calls that were not.
    pub timed_out: u64,
    /// Calls that were refused, or found nobody there.
    pub refused: u64,
    /// How long the answered ones took together, in microseconds.
    pub latency_us: i64,
}

/// A part of a run in which the gateway could take the same.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// From when, in microseconds.
    pub from_us: i64,
    /// Until when, in microseconds.
    pub until_us: i64,
    /// What the gateway could take, in calls a second; 0 when it was down.
    pub capacity: f64,
    /// How long it worked on a call, in microseconds.
    pub call_us: i64,
}

/// How a caller fared in a span. All but the last is of its last two thirds.
#[derive(Debug, Clone, Copy)]
pub struct Fared {
    /// Calls answered in time, as a part of what the gateway could take.
    pub used: f64,
    /// Calls that timed out, as a part of all.
    pub timed_out: f64,
    /// Calls that were refused, as a part of all.
    pub refused: f64,
    /// How long the answered ones took on average, in microseconds.
    pub latency_us: f64,
    /// How many calls could be under way on average.
    pub size: f64,
    /// After how many seconds [`ADAPTED_SHARE`] of the capacity was used, less than [`MOST_LOST`] of the calls were lost, and
    /// they took no longer than [`MOST_LATENCY`] times their own time: in the next two seconds, and from then to the end.
    pub adapted_after_s: Option<f64>,
}

/// How a caller fared in a span.
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
        size: steady.iter().map(|sample| sample.size as f64).sum::<f64>() / steady.len() as f64,
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
        && seen.timed_out + seen.refused < MOST_LOST * seen.calls()
        && seen.answered > 0.0
        && seen.latency_us <= MOST_LATENCY * span.call_us as f64 * seen.answered
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

/// Runs and how they fared, as a table for people.
pub fn table(runs: &[(String, Vec<Sample>)], spans: &[Span]) -> String {
    let mut table =
        "| calls at once | capacity | used | timed out | refused | mean latency | mean size | adapted after |\n\
                     |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for (name, samples) in runs {
        for span in spans {
            let Fared { used, timed_out, refused, latency_us, size, adapted_after_s } = fared(samples, span);
            let latency = if latency_us.is_nan() {
                "none answered".to_owned()
            } else {
                format!("{:.0} ms", latency_us / 1_000.0)
            };
            let used = if used.is_nan() { String::new() } else { format!("{:.0}%", 100.0 * used) };
            let adapted = adapted_after_s.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s"));
            let _ = writeln!(
                table,
                "| {name} | {:.0}/s | {used} | {:.1}% | {:.1}% | {latency} | {size:.0} | {adapted} |",
                span.capacity,
                100.0 * timed_out,
                100.0 * refused,
            );
        }
    }
    table
}
