//! What was found of a claim: each thing that is wrong with it or worth a warning, and where it was sent.
//!
//! What makes a finding is elsewhere: `intake`, the shape of the fields and the [`rules`](super::rules). Its code cannot be set:
//! it is that of a [`Rule`] or a [`BatchCode`], and of one that is read back from the database whatever it had when it was
//! stored, also where no rule has that code any more.

use super::limits::Limits;
use super::rules::rule::Rule;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// One thing that is wrong with a claim, or worth a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The line, from 1; none where the claim as a whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The field's canonical name; for an unknown field the sender's.
    pub field: String,
    /// How the sender spelt the field, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
    /// A JSON pointer (RFC 6901) into what was sent; none for CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A stable code.
    #[schema(value_type = String)]
    code: Cow<'static, str>,
    /// What to write instead. Never the value that was sent.
    pub message: String,
}

/// The codes of what refuses a place of a batch, and is no rule of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchCode {
    /// It cannot be read as a claim.
    Malformed,
    /// It has too many bytes.
    TooLarge,
    /// A row that cannot be read may be a line of it.
    RowInDoubt,
    /// Its key came before with another claim.
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
    /// A finding of a rule about a field, by the field's name. `sent_as` says how it was sent, where it was.
    pub fn new(rule: &Rule, line: Option<usize>, field: &str, sent_as: SentAs, message: String) -> Self {
        let SentAs { name, pointer } = sent_as;
        let sent_as = (name != field).then_some(name);
        Self { line, field: field.to_owned(), sent_as, pointer, code: Cow::Borrowed(rule.code), message }
    }

    /// A finding of a rule about the claim as a whole.
    pub fn of_claim(rule: &Rule, message: String) -> Self {
        Self::about("lines", rule.code, message)
    }

    /// Why a place of a batch is refused.
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

/// What was found of one claim. Only so many findings are kept as can be listed, and the others are counted: a body can
/// hold many times as many mistakes as anybody reads.
#[derive(Debug, Clone, Default)]
pub(in crate::domain) struct Findings {
    kept: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// Notes one.
    pub fn note(&mut self, finding: Finding) {
        self.note_with(|| finding);
    }

    /// Notes one that is made only where it is kept.
    pub fn note_with(&mut self, finding: impl FnOnce() -> Finding) {
        if self.kept.len() < Limits::MOST_FINDINGS {
            self.kept.push(finding());
        } else {
            self.more += 1;
        }
    }

    /// The places of those with this code: line and field.
    pub fn with_code(&self, code: &'static str) -> impl Iterator<Item = (Option<usize>, &str)> {
        self.kept
            .iter()
            .filter(move |finding| finding.code == code)
            .map(|finding| (finding.line, finding.field.as_str()))
    }

    /// The first with this code.
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
        // It may wait for a while to be answered.
        kept.shrink_to_fit();
        (kept, more)
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self { kept: vec![finding], more: 0 }
    }
}
