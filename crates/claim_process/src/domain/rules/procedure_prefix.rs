//! Dental procedure codes begin with the letter D (American Dental Association, CDT).

use super::{Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "procedure_prefix",
    severity: Severity::Reject,
    settable: true,
    check: |claim, _| {
        claim.each_line(Field::SubmittedProcedure, |line| {
            let code = line.submitted_procedure.as_ref()?;
            (!code.as_str().starts_with('D')).then_some("must start with 'D', as in D0180")
        })
    },
};
