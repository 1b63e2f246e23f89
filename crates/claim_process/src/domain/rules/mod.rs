//! The rules: what makes a claim acceptable, and everything that the service can find wrong with one.
//!
//! To add a rule, write a file beside this one with a `RULE` and name it in [`REGISTRY`]. Where it is `settable`, its
//! severity can then be set per deployment (`rules.<code>`), and `GET /v1/rules` and `RULES.md` show it with its example.
//! What is found while a claim is read, before it has a shape that could be checked, is in [`reading`].

use rule::{Rule, Severity};
use std::collections::BTreeMap;

mod allowed_above_fees;
pub mod book;
mod claim_limit;
pub mod draft;
pub mod example;
pub mod likely_duplicate;
mod line_count;
mod npi_checksum;
mod one_claim;
mod procedure_format;
mod procedure_prefix;
mod procedure_unknown;
mod quadrant_missing;
pub mod reading;
mod repeated_line;
pub mod rule;
mod service_date_age;
mod service_date_future;
pub mod violation;

/// The rules of a claim that could be read, in the order in which their findings are listed.
pub const REGISTRY: &[Rule] = &[
    line_count::RULE,
    one_claim::RULE,
    service_date_future::RULE,
    service_date_age::RULE,
    procedure_prefix::RULE,
    procedure_format::RULE,
    procedure_unknown::RULE,
    quadrant_missing::RULE,
    npi_checksum::RULE,
    allowed_above_fees::RULE,
    claim_limit::RULE,
    repeated_line::RULE,
    likely_duplicate::RULE,
];

/// Everything that the service can find: whatever code a finding has, it is one of these.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    reading::RULES.iter().chain(REGISTRY)
}

/// The severity of every rule that can be set, where the settings do not say.
pub fn default_severities() -> BTreeMap<String, Severity> {
    REGISTRY.iter().filter(|rule| rule.settable).map(|rule| (rule.code.to_owned(), rule.severity)).collect()
}
