//! Reads a request body into a [`RawClaim`]: JSON in its three forms, or CSV. No value is interpreted here.

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

/// The body is not JSON or CSV. The text gives the place of the error and never echoes the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

/// Limits on the syntax of what is sent.
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
    /// Adds a finding for a value that is too long; returns whether it is.
    fn refuse_long(
        &self,
        raw_claim: &mut RawClaim,
        line: Option<usize>,
        field: Field,
        name: &str,
        value: &str,
    ) -> bool {
        let is_long = value.len() > self.max_value_bytes;
        if is_long {
            let message = format!("has more than {} bytes: shorten it, or leave it out", self.max_value_bytes);
            raw_claim.note_malformed(finding(
                raw_claim,
                line,
                field.name(),
                name,
                &parse_errors::VALUE_LENGTH,
                message,
            ));
        }
        is_long
    }
}

/// The longest name of an unknown field that a warning echoes, in characters.
const LONGEST_ECHOED_NAME: usize = 64;

/// A finding about what was sent with this name in a line, or with `None` for the claim.
fn finding(
    raw_claim: &RawClaim,
    line: Option<usize>,
    field: &str,
    name: &str,
    rule: &Rule,
    message: String,
) -> Finding {
    let sent_as = SentAs { name: printable(name), pointer: raw_claim.pointer(line, name) };
    Finding::new(rule, line, field, sent_as, message)
}

/// Stores the sender's own id for the claim, which may be sent in any of its lines. A blank one is ignored, and one that
/// differs from an earlier one is a contradiction.
fn take_external_claim_id(raw_claim: &mut RawClaim, line: Option<usize>, text: &str, name: &str) {
    let field = Field::ExternalClaimId;
    let (earlier, text) = (raw_claim.header_text(field), text.trim());
    if !text.is_empty() && earlier.is_some_and(|earlier| !earlier.is_empty() && earlier != text) {
        let message = CONTRADICTS.to_owned();
        raw_claim.note_malformed(finding(raw_claim, line, field.name(), name, &parse_errors::CONTRADICTION, message));
    } else if !text.is_empty() || earlier.is_none() {
        raw_claim.set_in_header(line, field, text, name);
    }
}

/// The finding about a second value where there can be only one.
const CONTRADICTS: &str = "differs from the value given for the whole claim: send it once";

/// The finding about an unknown field.
const NOT_A_FIELD: &str = "is not a field of a claim";

/// Adds a warning that an unknown field was ignored, and why. Only the first warning of a claim lists the known fields,
/// because an export may have many other columns.
fn note_unknown(raw_claim: &mut RawClaim, line: Option<usize>, name: &str, why: &str) {
    let is_first = !raw_claim.has_unknown_field();
    raw_claim.note_ignored(|raw_claim| {
        let mut message = format!("{why} and was ignored");
        if is_first {
            let known: Vec<&str> = Field::ALL.into_iter().map(Field::name).collect();
            message = format!("{message}; the fields are {}", known.join(", "));
        }
        finding(raw_claim, line, &printable(name), name, &parse_errors::UNKNOWN_FIELD, message)
    });
}

/// Adds a finding for a field that was sent twice, under two names; for a CSV with the numbers of its columns.
fn note_repeated(
    raw_claim: &mut RawClaim,
    line: Option<usize>,
    field: Field,
    names: [&str; 2],
    columns: Option<[usize; 2]>,
) {
    let [first, second] = names.map(printable);
    let twice = match columns {
        Some([one, other]) => format!("as '{first}' in column {one} and as '{second}' in column {other}"),
        None => format!("as '{first}' and as '{second}'"),
    };
    let message = format!("is sent twice, {twice}: send it once");
    raw_claim.note_malformed(finding(raw_claim, line, field.name(), names[1], &parse_errors::SENT_TWICE, message));
}

/// A sender's name for a field, short and without control characters.
fn printable(name: &str) -> String {
    name.trim().chars().filter(|character| !character.is_control()).take(LONGEST_ECHOED_NAME).collect()
}
