//! The rules: what makes a claim acceptable, and everything that the service can find wrong with one.
//!
//! To add a rule, write a file beside this one with a `RULE` and name it in [`REGISTRY`]. Where it is `settable`, its
//! severity can then be set per deployment (`rules.<code>`), and `GET /v1/rules` and `RULES.md` show it with its example.
//! What is found while a claim is read, before it has a shape that could be checked, is in [`reading`].

use super::field::Field;
use super::form::Finding;
use super::service_date::ServiceDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod allowed_above_fees;
mod book;
mod claim_limit;
mod draft;
mod example;
mod likely_duplicate;
mod limits;
mod line_count;
mod npi_checksum;
mod one_claim;
mod procedure_format;
mod procedure_prefix;
mod procedure_unknown;
mod quadrant_missing;
pub mod reading;
mod repeated_line;
mod service_date_age;
mod service_date_future;

pub use super::code_list::CodeList;
pub use book::{Judgement, RuleBook};
pub use draft::{Draft, DraftLine};
pub use example::Example;
pub use likely_duplicate::{DuplicateCheck, finding as likely_duplicate};
pub use limits::Limits;

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

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its stable code, in findings and in the settings.
    pub code: &'static str,
    /// What it demands, in a sentence or two for whoever sends claims.
    pub description: &'static str,
    /// The fields that its findings name.
    pub fields: &'static [&'static str],
    /// Where it comes from.
    pub source: &'static str,
    /// What it does where the settings do not say.
    pub severity: Severity,
    /// Whether the settings may say otherwise: not where a claim that breaks it could not be paid rightly.
    pub settable: bool,
    /// What breaks it, with one finding of its code.
    pub breaks: Example,
    /// What does not.
    pub passes: Example,
    /// How it is checked.
    pub check: Check,
}

/// How a rule is checked.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// While the claim is read: by `intake` and by the shape of its fields.
    Reading,
    /// By looking at the claim. A field whose shape is wrong is `None`: that was found already.
    Claim(fn(&Draft, &Given<'_>) -> Vec<Violation>),
    /// By comparing it with claims that are stored, where it is stored. Makes the message of the stored claim's id.
    Stored(fn(&str) -> String),
}

/// What a broken rule does to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The claim is refused.
    Reject,
    /// The claim is taken, with a warning in the answer.
    Warn,
    /// The rule is not looked at.
    Off,
}

/// A broken rule: where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The line, from 1; none where the claim as a whole is meant.
    pub line: Option<usize>,
    /// The field.
    pub field: Field,
    /// What to write instead. Never the value that was sent.
    pub message: String,
}

/// What rules compare a claim with.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The deployment's numbers.
    pub limits: Limits,
    /// The procedure codes that the deployment knows, where it has a list.
    pub procedures: Option<&'a CodeList>,
    /// The latest day that it is anywhere now.
    pub latest_day: ServiceDate,
}

/// The severity of every rule that can be set, where the settings do not say.
pub fn default_severities() -> BTreeMap<String, Severity> {
    REGISTRY.iter().filter(|rule| rule.settable).map(|rule| (rule.code.to_owned(), rule.severity)).collect()
}

impl Rule {
    /// A finding about the claim as a whole.
    fn finding_of_claim(&self, message: String) -> Finding {
        let field = "lines".to_owned();
        Finding { line: None, field, sent_as: None, pointer: None, code: self.code.to_owned(), message }
    }
}
