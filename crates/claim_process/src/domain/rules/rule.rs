//! What a rule is: its code, what it demands and where that comes from, how it is checked and against what.

use super::draft::Draft;
use super::example::Example;
use super::violation::Violation;
use crate::domain::code_list::CodeList;
use crate::domain::limits::Limits;
use crate::domain::service_date::ServiceDate;
use serde::{Deserialize, Serialize};

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
