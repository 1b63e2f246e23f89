//! A claim has at least one line and at most as many as the deployment allows (100 by default).

use super::{Limits, Rule, Severity, Violation};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "line_count",
    severity: Severity::Reject,
    settable: false,
    check: |claim, limits| match claim.lines.len() {
        0 => vec![violation("a claim needs at least one line".to_owned())],
        count if count > limits.max_lines => vec![too_many(limits)],
        _ => Vec::new(),
    },
};

pub(super) fn too_many(limits: &Limits) -> Violation {
    violation(format!("a claim may have at most {} lines: send the rest as another claim", limits.max_lines))
}

fn violation(message: String) -> Violation {
    Violation { line: None, field: Field::SubmittedProcedure, message }
}
