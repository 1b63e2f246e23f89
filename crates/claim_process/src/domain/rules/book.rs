//! The rules as a deployment has them: reads a form into a claim, or into everything that speaks against it.

use super::draft::{Draft, DraftLine};
use super::likely_duplicate::{self, DuplicateCheck};
use super::rule::{Check, Given, Rule, Severity};
use super::{REGISTRY, line_count, reading};
use crate::domain::cents::Cents;
use crate::domain::claim::Claim;
use crate::domain::code_list::CodeList;
use crate::domain::field::Field;
use crate::domain::finding::{Finding, Findings};
use crate::domain::form::{ClaimForm, LineForm};
use crate::domain::identifiers::{Identifier, Npi, ProcedureCode, Quadrant};
use crate::domain::limits::Limits;
use crate::domain::service_date::ServiceDate;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashSet};
use validator::{Validate, ValidateArgs, ValidationErrors};

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
        found.into_iter().find(|finding| finding.code() == rule.code)
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
        shape_findings(form, &self.limits).into_iter().for_each(|finding| refused.note(finding));
        let draft = draft(form);
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

/// Everything that is wrong with the shape, line by line and in the order of the fields.
fn shape_findings(form: &ClaimForm, limits: &Limits) -> Vec<Finding> {
    let mut findings = shape_findings_of(form, None, form.header.validate());
    for (index, line) in form.lines.iter().enumerate() {
        findings.extend(shape_findings_of(form, Some(index + 1), line.validate_with_args(limits)));
    }
    // What was sent and could not be read is not missing, besides.
    let unread: HashSet<(Option<usize>, &str)> = [reading::NOT_TEXT.code, reading::VALUE_LENGTH.code]
        .into_iter()
        .flat_map(|code| form.misread.with_code(code))
        .collect();
    let unread_rows: HashSet<_> = form.misread.with_code(reading::RAGGED_ROW.code).map(|(line, _)| line).collect();
    findings.retain(|finding| {
        let (line, field) = (finding.line, finding.field.as_str());
        let was_sent =
            unread.contains(&(line, field)) || unread.contains(&(None, field)) || unread_rows.contains(&line);
        !(was_sent && finding.code() == reading::REQUIRED.code)
    });
    findings
}

fn shape_findings_of(form: &ClaimForm, line: Option<usize>, result: Result<(), ValidationErrors>) -> Vec<Finding> {
    let Err(errors) = result else { return Vec::new() };
    let by_field = errors.field_errors();
    Field::ALL
        .into_iter()
        .filter_map(|field| by_field.get(field.name()).map(|errors| (field, errors)))
        .flat_map(|(field, errors)| errors.iter().map(move |error| (field, error)))
        .map(|(field, error)| {
            let rule = reading::with_code(&error.code).expect("the codes of the attributes are rules of reading");
            let message = error.message.as_deref().unwrap_or("is not as it should be").to_owned();
            form.finding(line, field, rule, message)
        })
        .collect()
}

/// What could be read of a form.
fn draft(form: &ClaimForm) -> Draft {
    Draft { lines: form.lines.iter().map(draft_line).collect() }
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
