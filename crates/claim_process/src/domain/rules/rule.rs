//! What a rule is: its code, what it demands and where that comes from, how it is checked and against what.

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
    /// What it demands, in a sentence or two for senders.
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
    /// While the claim is read and parsed.
    Parsing,
    /// On the parsed claim. A field that could not be parsed is `None`, and was reported.
    Claim(fn(&PartialClaim, &RuleContext<'_>) -> Vec<Violation>),
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
    /// The rule is not checked.
    Off,
}

/// What rules check a claim against.
#[derive(Debug, Clone, Copy)]
pub struct RuleContext<'a> {
    /// The deployment's numbers.
    pub limits: Limits,
    /// The procedure codes that the deployment knows, where it has a list.
    pub procedures: Option<&'a CodeList>,
    /// The latest calendar day anywhere on Earth now.
    pub latest_day: ServiceDate,
}
