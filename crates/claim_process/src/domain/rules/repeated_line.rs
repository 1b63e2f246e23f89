//! The same procedure in the same quadrant on the same day, twice in one claim, is often a mistake, so the rule warns. The
//! same procedure on another day is fine.

use super::example::Example;
use super::rule::{Check, Rule, Severity};
use super::violation::Violation;
use crate::domain::field::Field;

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
        let mut lines: Vec<_> = (1..)
            .zip(&claim.lines)
            .filter_map(|(number, line)| Some((line.service_date?, line.submitted_procedure?, line.quadrant, number)))
            .collect();
        lines.sort_unstable();
        let mut violations = Vec::new();
        for same in lines.chunk_by(|one, other| (one.0, one.1, one.2) == (other.0, other.1, other.2)) {
            let Some((&(.., first), repeats)) = same.split_first() else { continue };
            violations.extend(repeats.iter().map(|&(.., number)| {
                let message = format!(
                    "is the same procedure, day and quadrant as line {first}: check whether it was entered twice"
                );
                Violation { line: Some(number), field: Some(Field::SubmittedProcedure), message }
            }));
        }
        violations.sort_by_key(|violation| violation.line);
        violations
    }),
};
