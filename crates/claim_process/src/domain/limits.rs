//! The numbers that rules compare with, as a deployment sets them. The defaults are here, with their reasons.

use super::cents::{Cents, MOST_CENTS};

/// Numbers that rules compare with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most lines a claim may have.
    pub max_lines: usize,
    /// The most that a money field may hold.
    pub max_amount: Cents,
    /// The most that a claim may come to, due to the provider or owed by it.
    pub max_claim: Cents,
    /// How many days ago a service may have been.
    pub max_service_age_days: u32,
    /// The most findings that are listed of one claim, warnings included.
    pub max_findings: usize,
}

impl Limits {
    /// The most findings that a deployment may have listed of one claim.
    pub const MOST_FINDINGS: usize = 1_000;
    /// The most days a service may be past, whatever the deployment: a hundred years.
    pub const MOST_SERVICE_AGE_DAYS: u32 = 36_525;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_lines: 100,
            // The largest amount that can be held. An office knows better what a line of its claims can cost.
            max_amount: Cents(MOST_CENTS),
            // No more than one field could hold, however many lines there are.
            max_claim: Cents(MOST_CENTS),
            // Twenty years. How late a claim may be filed is in each plan's contract, usually a year or two, and is not
            // known here; what is older than this is a year that was mistyped, and nobody wants that paid.
            max_service_age_days: 7_305,
            // More than anybody mends at one sitting, and still an answer of a few kilobytes.
            max_findings: 100,
        }
    }
}
