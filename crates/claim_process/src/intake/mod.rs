//! From what a sender sends to a [`RawClaim`]: JSON in its three shapes, or CSV. No value is interpreted here.

pub mod batch_input;
mod csv;
mod csv_watch;
mod json;

use crate::domain::field::Field;
use crate::domain::finding::{Finding, SentAs};
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::parse_errors;
use crate::domain::rules::rule::Rule;

pub use csv::read_csv;
pub use json::read_json;

/// The body is not JSON or CSV at all. The text says where it breaks and never echoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

/// How much of what is sent is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// The most columns of a CSV.
    pub max_columns: usize,
    /// The most bytes of a value: a cell, a text or a number.
    pub max_value_bytes: usize,
    /// How deep JSON may be nested. A claim with lines in a batch has four levels.
    pub max_depth: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        // A claim has eleven fields, and its longest has 64 characters: the rest is room for what is ignored.
        Self { max_columns: 256, max_value_bytes: 1_000, max_depth: 16 }
    }
}

impl ReadLimits {
    /// Notes a value that is too long, in a field of a claim that is being read.
    fn refuse_long(&self, raw_claim: &mut RawClaim, place: &Place, field: Field, name: &str, value: &str) -> bool {
        let is_long = value.len() > self.max_value_bytes;
        if is_long {
            let message = format!("has more than {} bytes: send its beginning, or leave it out", self.max_value_bytes);
            raw_claim.note_malformed(place.finding(field.name(), name, &parse_errors::VALUE_LENGTH, message));
        }
        is_long
    }
}

/// The longest name of an unknown field that a warning repeats; its place is not told where it is longer.
const LONGEST_ECHOED_NAME: usize = 64;

/// Where a name or value stands in a claim that is being read.
#[derive(Debug, Clone)]
struct Place {
    line: Option<usize>,
    pointer: Option<String>,
}

impl Place {
    fn finding(&self, field: &str, name: &str, rule: &Rule, message: String) -> Finding {
        let sent_as = SentAs { name: printable(name), pointer: self.pointer.clone() };
        Finding::new(rule, self.line, field, sent_as, message)
    }
}

/// Takes the sender's own id for the claim, which may stand in any of its lines. A blank one says nothing, and one that
/// differs from what was sent before contradicts it.
fn take_external_claim_id(raw_claim: &mut RawClaim, place: &Place, text: &str, sent_as: SentAs) {
    let field = Field::ExternalClaimId;
    if raw_claim.header.contradicts(field, text) {
        raw_claim.note_malformed(place.finding(
            field.name(),
            &sent_as.name,
            &parse_errors::CONTRADICTION,
            CONTRADICTS.to_owned(),
        ));
    } else if !text.trim().is_empty() || raw_claim.header.sent_as(field).is_none() {
        raw_claim.header.set(field, text, sent_as);
    }
}

/// What to do about two values where there can be one.
const CONTRADICTS: &str = "differs from the value given for the whole claim: send it once";

/// Why a field that nobody knows is none.
const NOT_A_FIELD: &str = "is not a field of a claim";

/// Notes a field that nobody knows: it is ignored, with a warning that says why. The first of a claim names the fields
/// there are: an export may have many columns besides.
fn note_unknown(raw_claim: &mut RawClaim, place: &Place, name: &str, why: &str) {
    let is_first = !raw_claim.has_unknown_field();
    raw_claim.note_ignored(|| {
        let mut message = format!("{why} and was ignored");
        if is_first {
            let known: Vec<&str> = Field::ALL.into_iter().map(Field::name).collect();
            message = format!("{message}; the fields are {}", known.join(", "));
        }
        place.finding(&printable(name), &printable(name), &parse_errors::UNKNOWN_FIELD, message)
    });
}

/// Notes a field that was sent twice under names that mean the same, of a CSV with the numbers of its columns.
fn note_repeated(raw_claim: &mut RawClaim, place: &Place, field: Field, names: [&str; 2], columns: Option<[usize; 2]>) {
    let [first, second] = names.map(printable);
    let twice = match columns {
        Some([one, other]) => format!("as '{first}' in column {one} and as '{second}' in column {other}"),
        None => format!("as '{first}' and as '{second}'"),
    };
    let message = format!("is sent twice, {twice}: send it once");
    raw_claim.note_malformed(place.finding(field.name(), names[1], &parse_errors::SENT_TWICE, message));
}

/// A sender's name for a field, short and without control characters.
fn printable(name: &str) -> String {
    name.trim().chars().filter(|character| !character.is_control()).take(LONGEST_ECHOED_NAME).collect()
}
