//! Findings: what is wrong with a claim or worth a warning, with the field and place of each.
//!
//! `intake`, parsing and the [`rules`](super::rules) make them. A new finding has the code of a [`Rule`] or a [`BatchCode`].
//! One that is read from the database keeps the code that it was stored with, even if no rule has that code any more.

use super::limits::Limits;
use super::rules::rule::Rule;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// One thing that is wrong with a claim, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The line, from 1; absent if the finding is about the claim as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The field's canonical name; for an unknown field the sender's.
    pub field: String,
    /// How the sender spelt the field, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
    /// A JSON pointer (RFC 6901) into what was sent; absent for CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A stable code.
    #[schema(value_type = String)]
    code: Cow<'static, str>,
    /// What to write instead. Never the value that was sent.
    pub message: String,
}

/// The codes of findings that refuse a claim of a batch without a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchCode {
    /// It cannot be read as a claim.
    Malformed,
    /// It has too many bytes.
    TooLarge,
    /// A row that cannot be read may be one of its lines.
    RowInDoubt,
    /// Its key was used before with another claim.
    KeyReused,
    /// Another claim has its `external_claim_id`.
    ExternalIdTaken,
    /// The database refuses it.
    NotStored,
}

impl BatchCode {
    const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::RowInDoubt => "row_in_doubt",
            Self::KeyReused => "idempotency_key_reused",
            Self::ExternalIdTaken => "external_claim_id_taken",
            Self::NotStored => "not_stored",
        }
    }
}

impl Finding {
    /// A finding of a rule about a field, by the field's name. `sent_as` is the name and place that the sender gave it.
    pub fn new(rule: &Rule, line: Option<usize>, field: &str, sent_as: SentAs, message: String) -> Self {
        let SentAs { name, pointer } = sent_as;
        let sent_as = (name != field).then_some(name);
        Self { line, field: field.to_owned(), sent_as, pointer, code: Cow::Borrowed(rule.code), message }
    }

    /// A finding of a rule about the claim as a whole.
    pub fn of_claim(rule: &Rule, message: String) -> Self {
        Self::about("lines", rule.code, message)
    }

    /// A finding that refuses a claim of a batch.
    pub fn of_place(code: BatchCode, field: &'static str, message: String) -> Self {
        Self::about(field, code.name(), message)
    }

    fn about(field: &'static str, code: &'static str, message: String) -> Self {
        let (field, code) = (field.to_owned(), Cow::Borrowed(code));
        Self { line: None, field, sent_as: None, pointer: None, code, message }
    }

    /// Its code.
    pub fn code(&self) -> &str {
        &self.code
    }
}

/// The name and place a value had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentAs {
    /// The name as sent.
    pub name: String,
    /// The JSON pointer, where it was JSON.
    pub pointer: Option<String>,
}

/// The findings of one claim. It keeps as many as can be listed and counts the others, because a body can hold millions of
/// mistakes.
#[derive(Debug, Clone, Default)]
pub(in crate::domain) struct Findings {
    kept: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// Adds a finding.
    pub fn note(&mut self, finding: Finding) {
        if self.has_room() {
            self.kept.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Whether another finding is kept, and not only counted.
    pub fn has_room(&self) -> bool {
        self.kept.len() < Limits::MOST_FINDINGS
    }

    /// Counts a finding that was not built, because it would not be kept.
    pub fn count_one_more(&mut self) {
        self.more += 1;
    }

    /// Line and field of each finding with this code.
    pub fn with_code(&self, code: &'static str) -> impl Iterator<Item = (Option<usize>, &str)> {
        self.kept
            .iter()
            .filter(move |finding| finding.code == code)
            .map(|finding| (finding.line, finding.field.as_str()))
    }

    /// The first finding with this code.
    pub fn first_with_code(&self, code: &str) -> Option<&Finding> {
        self.kept.iter().find(|finding| finding.code == code)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The same, those about the whole claim first, then line by line.
    pub fn by_line(mut self) -> Self {
        self.kept.sort_by_key(|finding| finding.line);
        self
    }

    /// The first `most` of them, and how many there are besides.
    pub fn first(self, most: usize) -> (Vec<Finding>, usize) {
        let Self { mut kept, more } = self;
        let more = more + kept.len().saturating_sub(most);
        kept.truncate(most);
        // The findings may wait in memory for their response to be sent.
        kept.shrink_to_fit();
        (kept, more)
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self { kept: vec![finding], more: 0 }
    }
}
