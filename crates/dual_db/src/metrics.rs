//! The help texts of this crate's metrics.

use metrics::{Unit, describe_counter};

/// Registers the help text and unit of each metric. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(
        "due_times_recalled_total",
        Unit::Count,
        "Rows that were due later than any pause lasts, since the clock went back, and became due at once."
    );
}
