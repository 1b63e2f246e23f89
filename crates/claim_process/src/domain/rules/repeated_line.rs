//! The same procedure in the same quadrant on the same day, twice in one claim, is often a mistake, so the rule warns. The
//! same procedure on another day is fine.

use super::example::Example;
use super::rule::{Check, Rule, Severity};
use super::violation::Violation;
use crate::domain::field::Field;
use std::collections::HashMap;

pub(super) const RULE: Rule = Rule {
    code: "repeated_line",
    description: "No two lines of a claim have the same procedure, day and quadrant: that is often a mistake.",
    fields: &[Field::SubmittedProcedure.name()],
    source: "this system",
    severity: Severity::Warn,
    settable: true,
    breaks: Example::Claim(&[], &[&[], &[]]),
    passes: Example::Claim(&[], &[&[], &[("service_date", "\"2018-03-29\"")]]),
    check: Check::Claim(|claim, _| {
        let mut first_seen = HashMap::new();
        let mut violations = Vec::new();
        for (index, line) in claim.lines.iter().enumerate() {
            let (Some(date), Some(procedure)) = (line.service_date, line.submitted_procedure.as_ref()) else {
                continue;
            };
            let number = index + 1;
            let first = *first_seen.entry((date, procedure, line.quadrant)).or_insert(number);
            if first != number {
                let message = format!(
                    "is the same procedure, day and quadrant as line {first}: check whether it was entered twice"
                );
                violations.push(Violation { line: Some(number), field: Some(Field::SubmittedProcedure), message });
            }
        }
        violations
    }),
};
