//! Where a claim breaks a rule, as the rule says it; [`book`](super::book) makes a finding of it.

use crate::domain::field::Field;

/// A broken rule: where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The line, from 1; none where the claim as a whole is meant.
    pub line: Option<usize>,
    /// The field.
    pub field: Field,
    /// What to write instead. Never the value that was sent.
    pub message: String,
}
