//! A claim has at least one line and at most as many as the deployment allows.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use super::violation::Violation;
use crate::domain::limits::Limits;

pub(super) const RULE: Rule = Rule {
    code: "line_count",
    description: "A claim has at least one line and at most checks.max_lines lines (100 by default).",
    fields: &["lines"],
    source: "this system",
    severity: Severity::Reject,
    settable: false,
    breaks: Example::Json("{\"lines\": []}"),
    passes: GOOD,
    check: Check::Claim(|claim, context| match claim.lines.len() {
        0 => vec![violation("the claim has no lines: send at least one".to_owned())],
        count if count > context.limits.max_lines => vec![too_many(&context.limits)],
        _ => Vec::new(),
    }),
};

pub(super) fn too_many(limits: &Limits) -> Violation {
    violation(format!("a claim may have at most {} lines: send the rest as another claim", limits.max_lines))
}

fn violation(message: String) -> Violation {
    Violation { line: None, field: None, message }
}
