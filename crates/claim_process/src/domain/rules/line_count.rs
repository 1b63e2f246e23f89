//! A claim has at least one line and at most as many as the deployment allows (100 by default).

use super::{Rule, Severity, Violation};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "line_count",
    severity: Severity::Reject,
    check: |claim, limits| {
        let message = match claim.lines.len() {
            0 => "a claim needs at least one line".to_owned(),
            count if count > limits.max_lines => {
                format!("a claim may have at most {} lines: send the rest as another claim", limits.max_lines)
            }
            _ => return Vec::new(),
        };
        vec![Violation { line: None, field: Field::SubmittedProcedure, message }]
    },
};
