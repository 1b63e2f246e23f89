//! A claim as it was sent: text in fields, with the name and place each had, and what was wrong with how it was written.
//!
//! `intake` fills it, [`parse`](super::parse) turns it into typed values, and the [`rules`](super::rules) decide whether
//! the claim is acceptable.

use super::field::Field;
use super::finding::{Finding, Findings, SentAs};
use super::rules::parse_errors;
use super::rules::rule::Rule;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The most lines that are read, and so the most that a deployment may allow. A reader stops one line later: what a body
/// holds beyond that need not be in memory to be refused.
pub const MOST_LINES: usize = 1_000;

/// A claim as it was sent.
#[derive(Debug, Default)]
pub struct RawClaim {
    /// The fields of the claim itself, as opposed to those of its lines.
    pub header: RawFields,
    /// The lines, at most one more than [`MOST_LINES`].
    pub lines: Vec<RawLine>,
    /// What is wrong with how it was written: a field sent twice, a list where text belongs.
    pub(super) malformed: Findings,
    /// What was ignored.
    pub(super) ignored: Findings,
}

/// One line as it was sent.
#[derive(Debug, Clone, Default)]
pub struct RawLine {
    /// Its fields.
    pub fields: RawFields,
    /// Its JSON pointer, where it was JSON.
    pointer: Option<String>,
}

/// Fields as they were sent. A field that was sent blank or as null is there, without a text.
#[derive(Clone, Default)]
pub struct RawFields(BTreeMap<Field, RawField>);

#[derive(Clone)]
struct RawField {
    /// The trimmed text. One that was sent once for all lines is in memory once: it may be as long as a body.
    text: Option<Arc<str>>,
    sent_as: SentAs,
}

impl RawFields {
    /// Stores a field's text and how it was sent.
    pub fn set(&mut self, field: Field, text: impl Into<Arc<str>>, sent_as: SentAs) {
        self.0.insert(field, RawField { text: trimmed(text.into()), sent_as });
    }

    /// The field's trimmed text; `None` where it is blank or was not sent.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.0.get(&field)?.text.as_deref()
    }

    /// How the field was sent, if it was.
    pub fn sent_as(&self, field: Field) -> Option<&SentAs> {
        self.0.get(&field).map(|sent| &sent.sent_as)
    }

    /// Whether the field has another text than this one. A blank text contradicts nothing.
    pub fn contradicts(&self, field: Field, text: &str) -> bool {
        let text = text.trim();
        !text.is_empty() && self.text(field).is_some_and(|stored| stored != text)
    }
}

fn trimmed(text: Arc<str>) -> Option<Arc<str>> {
    match text.trim() {
        "" => None,
        trimmed if trimmed.len() == text.len() => Some(text),
        trimmed => Some(trimmed.into()),
    }
}

impl RawLine {
    /// An empty line; `pointer` is its JSON pointer, where it was JSON.
    pub fn at(pointer: Option<String>) -> Self {
        Self { pointer, ..Self::default() }
    }
}

impl RawClaim {
    /// Whether there are more lines than any claim may have, so that reading on is of no use.
    pub fn is_overfull(&self) -> bool {
        self.lines.len() > MOST_LINES
    }

    /// Records something that is wrong with how the claim was written.
    pub fn note_malformed(&mut self, finding: Finding) {
        self.malformed.note(finding);
    }

    /// Records something that was ignored.
    pub fn note_ignored(&mut self, finding: impl FnOnce() -> Finding) {
        self.ignored.note_with(finding);
    }

    /// Whether a field with an unknown name was ignored.
    pub fn has_unknown_field(&self) -> bool {
        self.ignored.first_with_code(parse_errors::UNKNOWN_FIELD.code).is_some()
    }

    /// A finding of `rule` about `field`, with the name and place the sender gave the field. `line` counts from 1.
    pub fn finding(&self, line: Option<usize>, field: Field, rule: &Rule, message: String) -> Finding {
        let line_sent = line.and_then(|line| self.lines.get(line - 1));
        let fields = line_sent.map_or(&self.header, |line| &line.fields);
        let sent_as = fields.sent_as(field).cloned().unwrap_or_else(|| SentAs {
            name: field.name().to_owned(),
            pointer: line_sent
                .and_then(|line| line.pointer.as_deref())
                .map(|pointer| format!("{pointer}/{}", field.name())),
        });
        Finding::new(rule, line, field.name(), sent_as, message)
    }
}

/// Masked: the texts hold patient data.
impl fmt::Debug for RawFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawFields(masked)")
    }
}
