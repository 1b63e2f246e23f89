//! The rules: what makes a claim acceptable, and everything that the service can find wrong with one.
//!
//! To add a rule, write a file beside this one with a `RULE` and name it in [`REGISTRY`]. Where it is `settable`, its
//! severity can then be set per deployment (`rules.<code>`), and `GET /v1/rules` and `RULES.md` show it with its example.
//! Errors of reading and parsing, which come before the rules, are in [`parse_errors`].

use rule::{Rule, Severity};
use std::collections::BTreeMap;

mod allowed_above_fees;
mod claim_limit;
pub mod example;
pub mod likely_duplicate;
mod line_count;
mod npi_checksum;
mod one_claim;
pub mod parse_errors;
mod procedure_format;
mod procedure_prefix;
mod procedure_unknown;
mod quadrant_missing;
mod repeated_line;
pub mod rule;
pub mod rule_set;
mod service_date_age;
mod service_date_future;
pub mod violation;

/// The rules of a parsed claim, in the order in which their findings are listed.
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

/// Every rule: the code of each finding of a claim is one of these.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    parse_errors::RULES.iter().chain(REGISTRY)
}

/// The severity of every rule that can be set, where the settings do not say.
pub fn default_severities() -> BTreeMap<String, Severity> {
    REGISTRY.iter().filter(|rule| rule.settable).map(|rule| (rule.code.to_owned(), rule.severity)).collect()
}
