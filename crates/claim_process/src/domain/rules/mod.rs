//! The rules: what makes a well-shaped claim acceptable.
//!
//! To add a rule, write a file beside this one with a `RULE` and name it in [`REGISTRY`]; where it is `settable`, its
//! severity can then be set per deployment (`rules.<code>`).

use super::claim::{Claim, Line};
use super::field::Field;
use super::form::{ClaimForm, Finding, LineForm};
use super::identifiers::{Identifier, Npi, ProcedureCode, Quadrant};
use super::{cents::Cents, service_date::ServiceDate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod line_count;
mod npi_checksum;
mod one_claim;
mod procedure_format;
mod procedure_prefix;
mod repeated_line;

/// All the rules, in the order in which their findings are listed.
pub const REGISTRY: &[Rule] = &[
    line_count::RULE,
    one_claim::RULE,
    procedure_prefix::RULE,
    procedure_format::RULE,
    npi_checksum::RULE,
    repeated_line::RULE,
];

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its stable code, in findings and in the settings.
    pub code: &'static str,
    /// What it does where the settings do not say.
    pub severity: Severity,
    /// Whether the settings may say otherwise: not where a claim that breaks it could not be paid rightly.
    pub settable: bool,
    /// Finds what breaks it. A field whose shape is wrong is `None`: that was found already.
    pub check: fn(&Draft, &Limits) -> Vec<Violation>,
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

/// Numbers that rules compare with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most lines a claim may have.
    pub max_lines: usize,
}

/// A claim as far as it could be read.
#[derive(Debug, Default)]
pub struct Draft {
    /// The lines, in the order sent.
    pub lines: Vec<DraftLine>,
}

/// A line as far as it could be read.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct DraftLine {
    pub service_date: Option<ServiceDate>,
    pub submitted_procedure: Option<ProcedureCode>,
    pub quadrant: Option<Quadrant>,
    pub plan_group: Option<Identifier>,
    pub subscriber_id: Option<Identifier>,
    pub provider_npi: Option<Npi>,
    pub provider_fees: Option<Cents>,
    pub allowed_fees: Option<Cents>,
    pub member_coinsurance: Option<Cents>,
    pub member_copay: Option<Cents>,
}

impl Draft {
    /// Checks each line by itself: `check` returns what to write instead.
    pub fn each_line(&self, field: Field, check: impl Fn(&DraftLine) -> Option<&'static str>) -> Vec<Violation> {
        self.lines
            .iter()
            .enumerate()
            .filter_map(|(index, line)| {
                let message = check(line)?.to_owned();
                Some(Violation { line: Some(index + 1), field, message })
            })
            .collect()
    }
}

/// The rules as a deployment has them.
#[derive(Debug, Clone)]
pub struct RuleBook {
    severities: BTreeMap<String, Severity>,
    limits: Limits,
}

/// The severity of every rule that can be set, where the settings do not say.
pub fn default_severities() -> BTreeMap<String, Severity> {
    REGISTRY.iter().filter(|rule| rule.settable).map(|rule| (rule.code.to_owned(), rule.severity)).collect()
}

impl RuleBook {
    /// The rules with the given severities (by code) and limits.
    pub fn new(severities: BTreeMap<String, Severity>, limits: Limits) -> Self {
        Self { severities, limits }
    }

    /// Reads a claim: itself and the warnings about it, or everything that speaks against it.
    ///
    /// # Errors
    /// All findings at once, shape before rules.
    pub fn read(&self, form: &ClaimForm) -> Result<(Claim, Vec<Finding>), Vec<Finding>> {
        // What is wrong with each of so many lines would fill an answer many times as long as what was sent.
        if form.is_overfull() || form.lines.len() > self.limits.max_lines {
            let found = line_count::too_many(&self.limits);
            return Err(vec![form.finding(found.line, found.field, line_count::RULE.code, found.message)]);
        }
        let mut refused = form.misread.clone();
        let mut warnings = form.ignored.clone();
        refused.extend(form.shape_findings());
        let draft = Draft { lines: form.lines.iter().map(draft_line).collect() };
        for rule in REGISTRY {
            let findings = match self.severity(rule) {
                Severity::Reject => &mut refused,
                Severity::Warn => &mut warnings,
                Severity::Off => continue,
            };
            let violations = (rule.check)(&draft, &self.limits);
            findings.extend(
                violations.into_iter().map(|found| form.finding(found.line, found.field, rule.code, found.message)),
            );
        }
        // A claim that cannot be put together had a finding; without one there would be nothing to tell its sender.
        match finish(form, draft) {
            Some(claim) if refused.is_empty() => Ok((claim, warnings)),
            _ => {
                refused.sort_by_key(|finding| finding.line);
                Err(refused)
            }
        }
    }

    fn severity(&self, rule: &Rule) -> Severity {
        self.severities.get(rule.code).copied().filter(|_| rule.settable).unwrap_or(rule.severity)
    }
}

fn draft_line(form: &LineForm) -> DraftLine {
    let money = |field| form.text(field).and_then(|text| Cents::parse(text).ok());
    DraftLine {
        service_date: form.text(Field::ServiceDate).and_then(|text| ServiceDate::parse(text).ok()),
        submitted_procedure: form.text(Field::SubmittedProcedure).and_then(ProcedureCode::parse),
        quadrant: form.text(Field::Quadrant).and_then(Quadrant::parse),
        plan_group: form.text(Field::PlanGroup).and_then(Identifier::parse),
        subscriber_id: form.text(Field::SubscriberId).and_then(Identifier::parse),
        provider_npi: form.text(Field::ProviderNpi).and_then(Npi::parse),
        provider_fees: money(Field::ProviderFees),
        allowed_fees: money(Field::AllowedFees),
        member_coinsurance: money(Field::MemberCoinsurance),
        member_copay: money(Field::MemberCopay),
    }
}

fn finish(form: &ClaimForm, draft: Draft) -> Option<Claim> {
    let first = draft.lines.first()?;
    Some(Claim {
        external_claim_id: form.header.external_claim_id(),
        plan_group: first.plan_group.clone()?,
        subscriber_id: first.subscriber_id.clone()?,
        provider_npi: first.provider_npi.clone()?,
        lines: draft.lines.into_iter().map(finish_line).collect::<Option<_>>()?,
    })
}

fn finish_line(line: DraftLine) -> Option<Line> {
    Some(Line {
        service_date: line.service_date?,
        submitted_procedure: line.submitted_procedure?,
        quadrant: line.quadrant,
        provider_fees: line.provider_fees?,
        allowed_fees: line.allowed_fees?,
        member_coinsurance: line.member_coinsurance?,
        member_copay: line.member_copay?,
    })
}
