//! Dental procedure codes begin with the letter D (American Dental Association, CDT).

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "procedure_prefix",
    description: "A procedure code begins with the letter D.",
    fields: &[Field::SubmittedProcedure.name()],
    source: "ADA CDT (45 CFR 162.1002 makes it the code set for dental services)",
    severity: Severity::Reject,
    settable: true,
    breaks: Example::Line(&[("submitted_procedure", "\"E0180\"")]),
    passes: GOOD,
    check: Check::Claim(|claim, _| {
        claim.each_line(Field::SubmittedProcedure, |line| {
            let code = line.submitted_procedure.as_ref()?;
            (!code.as_str().starts_with('D')).then_some("must start with 'D', as in D0180")
        })
    }),
};
