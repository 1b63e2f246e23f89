//! The rules as a deployment sets them. Validating a raw claim gives the claim, or everything that is wrong with it.

use super::likely_duplicate::{self, DuplicateCheck};
use super::rule::{Check, Rule, RuleContext, Severity};
use super::violation::Violation;
use super::{REGISTRY, line_count, parse_errors};
use crate::domain::claim::Claim;
use crate::domain::code_list::CodeList;
use crate::domain::finding::{Finding, Findings};
use crate::domain::limits::Limits;
use crate::domain::parse::parse;
use crate::domain::partial_claim::PartialClaim;
use crate::domain::raw_claim::RawClaim;
use crate::domain::service_date::ServiceDate;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The day on which the examples of the rules are validated: 1 April 2018, four days after the service in the good line.
const DAY_OF_EXAMPLES: Timestamp = Timestamp::constant(1_522_540_800, 0);

/// The rules as a deployment sets them.
#[derive(Debug, Clone)]
pub struct RuleSet {
    severities: BTreeMap<String, Severity>,
    /// The rules of a parsed claim that are not off, with what they do to it.
    checks: Vec<(Severity, &'static Rule)>,
    limits: Limits,
    procedures: Option<CodeList>,
}

/// A claim as far as it could be parsed, and the findings by what they do to the claim.
struct Examined {
    claim: PartialClaim,
    refused: Findings,
    warnings: Findings,
}

/// The result of validating a claim.
#[derive(Debug)]
pub struct Validation {
    /// The claim, if it is accepted.
    pub claim: Option<Claim>,
    /// Why it is refused, line by line.
    pub refused: Vec<Finding>,
    /// Warnings, which do not refuse it.
    pub warnings: Vec<Finding>,
}

impl RuleSet {
    /// The rules with the given severities (by code), limits and, if the deployment has one, list of procedure codes.
    pub fn new(severities: BTreeMap<String, Severity>, limits: Limits, procedures: Option<CodeList>) -> Self {
        let checks = REGISTRY.iter().map(|rule| (severity(&severities, rule), rule));
        let checks = checks.filter(|(severity, _)| *severity != Severity::Off).collect();
        Self { severities, checks, limits, procedures }
    }

    /// Validates a claim that arrives at `now`: the claim and the warnings about it, or why it is refused.
    ///
    /// # Errors
    /// All findings at once, line by line, up to [`Limits::max_findings`] and one that counts the others.
    pub fn accept(&self, raw: &RawClaim, now: Timestamp) -> Result<(Claim, Vec<Finding>), Vec<Finding>> {
        let Validation { claim, refused, warnings } = self.validate(raw, now);
        claim.map(|claim| (claim, warnings)).ok_or(refused)
    }

    /// Validates a claim that arrives at `now`. The warnings of a refused claim are returned as
    /// well. There are up to [`Limits::max_findings`] findings, those that refuse first, and for each of the two kinds one that
    /// counts the rest.
    pub fn validate(&self, raw: &RawClaim, now: Timestamp) -> Validation {
        let Examined { claim, refused, warnings } = self.examine(raw, now);
        let most = self.limits.max_findings;
        let claim = claim.finish().filter(|_| refused.is_empty());
        let refused = listed(refused.by_line(), most);
        let warnings = listed(warnings, most.saturating_sub(refused.len()));
        // A claim that cannot be completed has a finding: each missing value was reported by the parser.
        Validation { claim, refused, warnings }
    }

    /// The finding that an example of a rule gives on the day of the examples. A rule that is off warns, and the procedure
    /// codes are those of the examples.
    pub fn example_finding(&self, rule: &Rule, raw: &RawClaim) -> Option<Finding> {
        let mut severities = self.severities.clone();
        if self.severity(rule) == Severity::Off {
            severities.insert(rule.code.to_owned(), Severity::Warn);
        }
        let shown = Self::new(severities, self.limits, Some(CodeList::of_examples()));
        let Examined { refused, warnings, .. } = shown.examine(raw, DAY_OF_EXAMPLES);
        let found = [refused, warnings].map(|findings| listed(findings, self.limits.max_findings)).concat();
        found.into_iter().find(|finding| finding.code() == rule.code)
    }

    /// The severity of a rule in this deployment.
    pub fn severity(&self, rule: &Rule) -> Severity {
        severity(&self.severities, rule)
    }

    /// How a claim is compared with stored claims; `None` if the rule is off.
    pub fn duplicate_check(&self, claim: &Claim) -> Option<DuplicateCheck> {
        DuplicateCheck::of(claim, self.severity(&likely_duplicate::RULE))
    }

    fn examine(&self, raw: &RawClaim, now: Timestamp) -> Examined {
        let mut refused = raw.malformed.clone();
        let mut warnings = raw.ignored.clone();
        // The findings of so many lines would be many times as long as the request.
        if raw.is_overfull() || raw.line_count() > self.limits.max_lines {
            let found = line_count::too_many(&self.limits);
            let mut refused = Findings::from(finding(raw, &line_count::RULE, found));
            // A broken row may be the reason that there are so many.
            raw.malformed
                .first_with_code(parse_errors::RAGGED_ROW.code)
                .into_iter()
                .for_each(|row| refused.note(row.clone()));
            return Examined { claim: PartialClaim::default(), refused, warnings };
        }
        let (claim, unparsed) = parse(raw, &self.limits);
        unparsed.into_iter().for_each(|finding| refused.note(finding));
        let context = RuleContext {
            limits: self.limits,
            procedures: self.procedures.as_ref(),
            latest_day: ServiceDate::latest_at(now),
        };
        for (severity, rule) in &self.checks {
            let Check::Claim(check) = rule.check else { continue };
            let findings = if *severity == Severity::Reject { &mut refused } else { &mut warnings };
            for broken in check(&claim, &context) {
                findings.note(finding(raw, rule, broken));
            }
        }
        Examined { claim, refused, warnings }
    }
}

fn finding(raw: &RawClaim, rule: &Rule, Violation { line, field, message }: Violation) -> Finding {
    match field {
        Some(field) => raw.finding(line, field, rule, message),
        None => Finding::of_claim(rule, message),
    }
}

/// The severity of a rule under these settings.
fn severity(severities: &BTreeMap<String, Severity>, rule: &Rule) -> Severity {
    severities.get(rule.code).copied().filter(|_| rule.settable).unwrap_or(rule.severity)
}

/// The first of the findings, and one that counts the others.
fn listed(findings: Findings, most: usize) -> Vec<Finding> {
    let (mut listed, more) = findings.first(most);
    if more > 0 {
        listed.push(parse_errors::more_findings(more));
    }
    listed
}
