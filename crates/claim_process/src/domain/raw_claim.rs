//! A claim as it was sent: text in fields, with the name and place that each had, and what is malformed about it.
//!
//! `intake` fills it, [`parse`](super::parse) turns it into typed values, and the [`rules`](super::rules) decide whether
//! the claim is acceptable. The texts of a claim are in one buffer, and names and JSON pointers are made only for findings:
//! most claims have none.

use super::field::Field;
use super::finding::{Finding, Findings, SentAs};
use super::rules::parse_errors;
use super::rules::rule::Rule;
use std::fmt;

/// The most lines that are read, and so the highest limit that a deployment can set. A reader stops one line later, because
/// the rest of a body need not be in memory to be refused.
pub const MOST_LINES: usize = 1_000;

/// The longest name of a sender's that a pointer echoes, in bytes.
const LONGEST_POINTED_NAME: usize = 64;

/// A claim as it was sent.
#[derive(Default)]
pub struct RawClaim {
    /// Every text and every name that is not canonical, one behind the other.
    buffer: String,
    /// What was sent once for all lines, and the sender's own id for the claim.
    header: Fields,
    /// At most one more than [`MOST_LINES`].
    lines: Vec<Fields>,
    shape: Shape,
    /// What is malformed: a field that was sent twice, a list where text belongs.
    pub(super) malformed: Findings,
    /// What was ignored.
    pub(super) ignored: Findings,
}

/// The shape of what was sent, by which JSON pointers are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shape {
    /// Not JSON: there are no pointers.
    #[default]
    Rows,
    /// One object that is the only line.
    Line,
    /// An array of lines with this pointer.
    Lines(String),
}

/// The fields of a line or of the header. A field that was sent blank or as null is present with an empty text.
#[derive(Debug, Clone, Default)]
struct Fields([Option<RawField>; Field::ALL.len()]);

#[derive(Debug, Clone, Copy)]
struct RawField {
    /// The trimmed text.
    text: Span,
    /// The name as sent; empty if it is the canonical one.
    name: Span,
    /// The line in whose place it was sent; `None` for the claim's own.
    line: Option<Line>,
}

/// The number of a line, from 1.
type Line = std::num::NonZeroU32;

/// A part of a claim's buffer.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    from: u32,
    to: u32,
}

impl RawClaim {
    /// An empty claim, with room for texts of so many bytes.
    pub fn with_room_for(bytes: usize) -> Self {
        Self { buffer: String::with_capacity(bytes), ..Self::default() }
    }

    /// Sets the shape, on which pointers depend.
    pub fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// How many lines there are.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Begins the next line, and returns its number.
    pub fn begin_line(&mut self) -> usize {
        self.lines.push(Fields::default());
        self.lines.len()
    }

    /// Whether there are more lines than any claim may have, so that the reader can stop.
    pub fn is_overfull(&self) -> bool {
        self.lines.len() > MOST_LINES
    }

    /// Stores a field of a line, which counts from 1, or with `None` one that was sent once for all lines.
    pub fn set(&mut self, line: Option<usize>, field: Field, text: &str, name: &str) {
        let raw_field = self.raw_field(line, field, text, name);
        if let Some(fields) = line.map_or(Some(&mut self.header), |line| self.lines.get_mut(line - 1)) {
            fields.0[field as usize] = Some(raw_field);
        }
    }

    /// Stores a field of the header that was sent in the place of a line.
    pub fn set_in_header(&mut self, sent_in: Option<usize>, field: Field, text: &str, name: &str) {
        self.header.0[field as usize] = Some(self.raw_field(sent_in, field, text, name));
    }

    fn raw_field(&mut self, line: Option<usize>, field: Field, text: &str, name: &str) -> RawField {
        let name = if name == field.name() { Span::default() } else { self.name_span(field, name) };
        let text = self.append(text.trim());
        RawField { text, name, line: line.and_then(|line| Line::new(u32::try_from(line).unwrap_or(u32::MAX))) }
    }

    /// The lines of a claim mostly spell a name alike: it is in the buffer once.
    fn name_span(&mut self, field: Field, name: &str) -> Span {
        let before = self.lines.len().checked_sub(2).and_then(|before| self.lines[before].0[field as usize]);
        match before {
            Some(before) if self.slice(before.name) == name => before.name,
            _ => self.append(name),
        }
    }

    fn append(&mut self, text: &str) -> Span {
        let end = |buffer: &String| u32::try_from(buffer.len()).expect("what is kept of a claim has less than 4 GiB");
        let from = end(&self.buffer);
        self.buffer.push_str(text);
        Span { from, to: end(&self.buffer) }
    }

    fn slice(&self, span: Span) -> &str {
        &self.buffer[span.from as usize..span.to as usize]
    }

    /// The field of a line, or if the line does not have it, the one that was sent for all lines. `None` as a line is the
    /// header.
    fn field(&self, line: Option<usize>, field: Field) -> Option<&RawField> {
        let own = line.and_then(|line| self.lines.get(line - 1)?.0[field as usize].as_ref());
        own.or(self.header.0[field as usize].as_ref())
    }

    /// The trimmed text of a line's field, or with `None` of the header's; `None` where it is blank or was not sent.
    pub fn text(&self, line: Option<usize>, field: Field) -> Option<&str> {
        let text = self.slice(self.field(line, field)?.text);
        (!text.is_empty()).then_some(text)
    }

    /// The trimmed text of the header's field, empty if it was sent blank; `None` where it was not sent.
    pub fn header_text(&self, field: Field) -> Option<&str> {
        self.header.0[field as usize].as_ref().map(|sent| self.slice(sent.text))
    }

    /// The name by which the header's field was sent, if it was.
    pub fn name_in_header(&self, field: Field) -> Option<&str> {
        self.header.0[field as usize].as_ref().map(|sent| self.name(field, sent))
    }

    fn name(&self, field: Field, sent: &RawField) -> &str {
        match self.slice(sent.name) {
            "" => field.name(),
            name => name,
        }
    }

    /// The JSON pointer of a member of a line, or of the claim, by the name that it was sent with. The pointer of a member whose name
    /// is too long to be shown is that of its object.
    pub fn pointer(&self, line: Option<usize>, name: &str) -> Option<String> {
        let mut pointer = match (&self.shape, line) {
            (Shape::Rows, _) => return None,
            (Shape::Line, _) | (Shape::Lines(_), None) => String::new(),
            (Shape::Lines(lines), Some(line)) => format!("{lines}/{}", line - 1),
        };
        if name.len() <= LONGEST_POINTED_NAME {
            pointer.push('/');
            pointer.push_str(&escape(name));
        }
        Some(pointer)
    }

    /// Records that something is malformed.
    pub fn note_malformed(&mut self, finding: Finding) {
        self.malformed.note(finding);
    }

    /// Records something that was ignored.
    pub fn note_ignored(&mut self, finding: impl FnOnce(&Self) -> Finding) {
        if self.ignored.has_room() {
            let finding = finding(self);
            self.ignored.note(finding);
        } else {
            self.ignored.count_one_more();
        }
    }

    /// Whether a field with an unknown name was ignored.
    pub fn has_unknown_field(&self) -> bool {
        self.ignored.first_with_code(parse_errors::UNKNOWN_FIELD.code).is_some()
    }

    /// A finding of `rule` about `field`, with the name and place the sender gave the field. `line` counts from 1.
    pub fn finding(&self, line: Option<usize>, field: Field, rule: &Rule, message: String) -> Finding {
        let sent_as = match self.field(line, field) {
            Some(sent) => {
                let name = self.name(field, sent);
                let place = sent.line.map(|line| line.get() as usize);
                SentAs { name: name.to_owned(), pointer: self.pointer(place, name) }
            }
            None => SentAs {
                name: field.name().to_owned(),
                pointer: line
                    .filter(|line| *line <= self.lines.len())
                    .and_then(|line| self.pointer(Some(line), field.name())),
            },
        };
        Finding::new(rule, line, field.name(), sent_as, message)
    }
}

/// A name as a step of a JSON pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Masked: the texts hold patient data.
impl fmt::Debug for RawClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawClaim").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}
