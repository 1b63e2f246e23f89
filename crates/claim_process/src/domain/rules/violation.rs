//! Where a claim breaks a rule, as the rule reports it. [`rule_set`](super::rule_set) makes a finding of it.

use crate::domain::field::Field;

/// A broken rule: the place, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The line, from 1; `None` if the violation is about the claim as a whole.
    pub line: Option<usize>,
    /// The field; `None` if the violation is about how many lines there are.
    pub field: Option<Field>,
    /// What to write instead. Never the value that was sent.
    pub message: String,
}
