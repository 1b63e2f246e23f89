//! The rules as a deployment has them: reads a form into a claim, or into everything that speaks against it.

use super::{Check, CodeList, Draft, DuplicateCheck, Given, Limits, REGISTRY, Rule, Severity};
use super::{likely_duplicate, line_count, reading};
use crate::domain::claim::Claim;
use crate::domain::form::{ClaimForm, Finding, Findings};
use crate::domain::service_date::ServiceDate;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The day on which the examples of the rules are read: 1 April 2018, four days after the service in the good line.
const DAY_OF_EXAMPLES: Timestamp = Timestamp::constant(1_522_540_800, 0);

/// The rules as a deployment has them.
#[derive(Debug, Clone)]
pub struct RuleBook {
    severities: BTreeMap<String, Severity>,
    limits: Limits,
    procedures: Option<CodeList>,
}

/// A claim as far as it could be read, and what was found, by what it does to the claim.
struct Examined {
    draft: Draft,
    refused: Findings,
    warnings: Findings,
}

/// What was found of a claim.
#[derive(Debug)]
pub struct Judgement {
    /// The claim, where nothing speaks against it.
    pub claim: Option<Claim>,
    /// Everything that speaks against it, line by line.
    pub refused: Vec<Finding>,
    /// What is worth a look.
    pub warnings: Vec<Finding>,
}

impl RuleBook {
    /// The rules with the given severities (by code), limits and, where there is one, list of procedure codes.
    pub fn new(severities: BTreeMap<String, Severity>, limits: Limits, procedures: Option<CodeList>) -> Self {
        Self { severities, limits, procedures }
    }

    /// Reads a claim that comes now: itself and the warnings about it, or everything that speaks against it.
    ///
    /// # Errors
    /// All findings at once, line by line, up to [`Limits::max_findings`] and one that counts the others.
    pub fn read(&self, form: &ClaimForm, now: Timestamp) -> Result<(Claim, Vec<Finding>), Vec<Finding>> {
        let Judgement { claim, refused, warnings } = self.judge(form, now);
        claim.map(|claim| (claim, warnings)).ok_or(refused)
    }

    /// Reads a claim that comes now, and says everything that was found: of a claim that is refused the warnings, too.
    /// Together they are up to [`Limits::max_findings`], what speaks against it first, and for each kind one that counts the
    /// others.
    pub fn judge(&self, form: &ClaimForm, now: Timestamp) -> Judgement {
        let Examined { draft, refused, warnings } = self.examine(form, now);
        let most = self.limits.max_findings;
        let claim = draft.finish(form.header.external_claim_id()).filter(|_| refused.is_empty());
        let refused = listed(refused.by_line(), most);
        let warnings = listed(warnings, most.saturating_sub(refused.len()));
        // A claim that cannot be put together had a finding; without one there would be nothing to tell its sender.
        Judgement { claim, refused, warnings }
    }

    /// The finding that an example of a rule gives here on the day of the examples: as if the rule were not off, and the
    /// list of procedure codes were that of the examples.
    pub fn example_finding(&self, rule: &Rule, form: &ClaimForm) -> Option<Finding> {
        let mut shown = Self { procedures: Some(CodeList::of_examples()), ..self.clone() };
        if self.severity(rule) == Severity::Off {
            shown.severities.insert(rule.code.to_owned(), Severity::Warn);
        }
        let Examined { refused, warnings, .. } = shown.examine(form, DAY_OF_EXAMPLES);
        let found = [refused, warnings].map(|findings| listed(findings, self.limits.max_findings)).concat();
        found.into_iter().find(|finding| finding.code == rule.code)
    }

    /// What a rule does here.
    pub fn severity(&self, rule: &Rule) -> Severity {
        self.severities.get(rule.code).copied().filter(|_| rule.settable).unwrap_or(rule.severity)
    }

    /// By what a claim is compared with those that are stored, where that rule is not off.
    pub fn duplicate_check(&self, claim: &Claim) -> Option<DuplicateCheck> {
        DuplicateCheck::of(claim, self.severity(&likely_duplicate::RULE))
    }

    fn examine(&self, form: &ClaimForm, now: Timestamp) -> Examined {
        let mut refused = form.misread.clone();
        let mut warnings = form.ignored.clone();
        // What is wrong with each of so many lines would fill an answer many times as long as what was sent.
        if form.is_overfull() || form.lines.len() > self.limits.max_lines {
            let found = line_count::too_many(&self.limits);
            let mut refused = Findings::from(form.finding(found.line, found.field, &line_count::RULE, found.message));
            // It may be why there are so many.
            form.misread
                .first_with_code(reading::RAGGED_ROW.code)
                .into_iter()
                .for_each(|row| refused.note(row.clone()));
            return Examined { draft: Draft::default(), refused, warnings };
        }
        form.shape_findings(&self.limits).into_iter().for_each(|finding| refused.note(finding));
        let draft = Draft::of(form);
        let given = Given {
            limits: self.limits,
            procedures: self.procedures.as_ref(),
            latest_day: ServiceDate::latest_at(now),
        };
        for rule in REGISTRY {
            let findings = match self.severity(rule) {
                Severity::Reject => &mut refused,
                Severity::Warn => &mut warnings,
                Severity::Off => continue,
            };
            let Check::Claim(check) = rule.check else { continue };
            for broken in check(&draft, &given) {
                findings.note(form.finding(broken.line, broken.field, rule, broken.message));
            }
        }
        Examined { draft, refused, warnings }
    }
}

/// The first of the findings, and one that counts the others.
fn listed(findings: Findings, most: usize) -> Vec<Finding> {
    let (mut listed, more) = findings.first(most);
    if more > 0 {
        listed.push(reading::more_findings(more));
    }
    listed
}
