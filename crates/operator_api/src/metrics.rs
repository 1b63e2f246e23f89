//! The help texts of this crate's metrics.

use metrics::{Unit, describe_counter};

/// Registers the help text and unit of each metric. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!("dead_letters_discarded_total", Unit::Count, "Dead letters that an operator discarded.");
    describe_counter!("dead_letters_redriven_total", Unit::Count, "Dead letters that an operator redrove.");
}
