//! What a rule is: its code, what it requires and the source of that, how it is checked and against what.

use super::example::Example;
use super::violation::Violation;
use crate::domain::code_list::CodeList;
use crate::domain::limits::Limits;
use crate::domain::partial_claim::PartialClaim;
use crate::domain::service_date::ServiceDate;
use serde::{Deserialize, Serialize};

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its stable code, in findings and in the settings.
    pub code: &'static str,
    /// What it requires, in a sentence or two for senders.
    pub description: &'static str,
    /// The fields that its findings name.
    pub fields: &'static [&'static str],
    /// The source of the requirement.
    pub source: &'static str,
    /// Its default severity.
    pub severity: Severity,
    /// Whether the settings can change the severity. They cannot if a claim that breaks the rule could not be paid correctly.
    pub settable: bool,
    /// An example that breaks it, with one finding of its code.
    pub breaks: Example,
    /// An example that passes.
    pub passes: Example,
    /// How it is checked.
    pub check: Check,
}

/// How a rule is checked.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// While the claim is read and parsed.
    Parsing,
    /// On the parsed claim. A field that could not be parsed is `None`, and was reported.
    Claim(fn(&PartialClaim, &RuleContext<'_>) -> Vec<Violation>),
    /// When the claim is stored, by comparison with stored claims. The function makes the message from a stored claim's id.
    Stored(fn(&str) -> String),
}

/// What a broken rule does to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The claim is refused.
    Reject,
    /// The claim is accepted, with a warning in the response.
    Warn,
    /// The rule is not checked.
    Off,
}

/// What rules check a claim against, besides the claim itself.
#[derive(Debug, Clone, Copy)]
pub struct RuleContext<'a> {
    /// The numbers that the deployment sets.
    pub limits: Limits,
    /// The procedure codes that the deployment knows, if it has a list.
    pub procedures: Option<&'a CodeList>,
    /// The latest calendar day anywhere on Earth now.
    pub latest_day: ServiceDate,
}
