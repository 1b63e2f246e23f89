//! A CDT code is the letter D and four digits (American Dental Association). Silent where the prefix is wrong already.

use super::{Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "procedure_format",
    severity: Severity::Reject,
    settable: true,
    check: |claim, _| {
        claim.each_line(Field::SubmittedProcedure, |line| {
            let digits = line.submitted_procedure.as_ref()?.as_str().strip_prefix('D')?;
            let is_cdt = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
            (!is_cdt).then_some("must be 'D' and four digits, as in D0180")
        })
    },
};
