//! The numbers that rules compare with, as a deployment sets them. The defaults are here, with their reasons.

use claim_events::{Cents, MOST_CENTS};

/// Numbers that rules compare with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most lines a claim may have.
    pub max_lines: usize,
    /// The highest amount of a money field.
    pub max_amount: Cents,
    /// The highest net fee of a claim, due to the provider or owed by it.
    pub max_claim: Cents,
    /// The highest age of a service, in days.
    pub max_service_age_days: u32,
    /// The most findings that are listed of one claim, warnings included.
    pub max_findings: usize,
}

impl Limits {
    /// The highest `max_findings` that can be set.
    pub const MOST_FINDINGS: usize = 1_000;
    /// The highest `max_service_age_days` that can be set: a hundred years.
    pub const MOST_SERVICE_AGE_DAYS: u32 = 36_525;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_lines: 100,
            // The largest amount that can be stored. A deployment knows better what a line of its claims can cost.
            max_amount: Cents(MOST_CENTS),
            // The same for a claim of any number of lines.
            max_claim: Cents(MOST_CENTS),
            // Twenty years. How late a claim may be filed is in each plan's contract, usually a year or two, and is not
            // known here; an older date is a mistyped year.
            max_service_age_days: 7_305,
            // More than a biller corrects at once, and still an answer of a few kilobytes.
            max_findings: 100,
        }
    }
}
