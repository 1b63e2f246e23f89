//! A procedure is in the deployment's own list of codes, where it has one. Code sets change every year and lists are
//! brought up to date late, so it warns; without a list it is silent.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "procedure_unknown",
    description: "A procedure code is in the list of checks.procedure_codes_file, where that is set.",
    fields: &[Field::SubmittedProcedure.name()],
    source: "the deployment's own list of procedure codes",
    severity: Severity::Warn,
    settable: true,
    breaks: Example::Line(&[("submitted_procedure", "\"D0001\"")]),
    passes: GOOD,
    check: Check::Claim(|claim, context| {
        let Some(known) = context.procedures else { return Vec::new() };
        claim.each_line(Field::SubmittedProcedure, |line| {
            let code = line.submitted_procedure.as_ref()?;
            (!known.contains(code)).then_some("is not in this deployment's list of procedure codes: check for a slip")
        })
    }),
};
