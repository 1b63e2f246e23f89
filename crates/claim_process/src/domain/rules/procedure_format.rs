//! A CDT code is the letter D and four digits (American Dental Association). A wrong prefix is reported by `procedure_prefix` alone.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "procedure_format",
    description: "A procedure code is the letter D and four digits.",
    fields: &[Field::SubmittedProcedure.name()],
    source: "ADA CDT (45 CFR 162.1002 makes it the code set for dental services)",
    severity: Severity::Reject,
    settable: true,
    breaks: Example::Line(&[("submitted_procedure", "\"D018\"")]),
    passes: GOOD,
    check: Check::Claim(|claim, _| {
        claim.each_line(Field::SubmittedProcedure, |line| {
            let digits = line.submitted_procedure.as_ref()?.as_str().strip_prefix('D')?;
            let is_cdt = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
            (!is_cdt).then_some("must be 'D' and four digits, as in D0180")
        })
    }),
};
