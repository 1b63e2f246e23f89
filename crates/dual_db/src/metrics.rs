//! The help texts of this crate's metrics.

use metrics::{Unit, describe_counter, describe_gauge};

/// Registers the help text and unit of each metric. Call it once, after the recorder is installed.
pub fn describe() {
    describe_gauge!(
        "clock_ahead_seconds",
        Unit::Seconds,
        "How far the clock is ahead of the time that the service is known to have run; it is not trusted until that is confirmed."
    );
    describe_counter!(
        "due_times_recalled_total",
        Unit::Count,
        "Rows that were due later than any pause lasts, since the clock went back, and became due at once."
    );
}
