//! CSV: a row of names, then one row a line; all rows are one claim. The separator is a comma, a semicolon or a tab,
//! whichever the row of names has most of. Blank rows are skipped.

use super::csv_watch::{CsvTrouble, CsvWatch};
use super::{Malformed, ReadLimits, finding, note_repeated, note_unknown, printable, take_external_claim_id};
use crate::domain::field::Field;
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::parse_errors;
use ::csv::{ByteRecord, Reader, ReaderBuilder};
use std::io::Read;

/// Reads one claim.
///
/// # Errors
/// When the body is not UTF-8 or has no row of names.
pub fn read_csv(body: &[u8], limits: ReadLimits) -> Result<RawClaim, Malformed> {
    std::str::from_utf8(body).map_err(|error| {
        let line = body[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Malformed(format!("the CSV cannot be read near line {line}: it must be UTF-8 text"))
    })?;
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let mut reader = reader(body, separator(body), usize::MAX);
    let columns = Columns::read(&mut reader, limits)?;
    let mut raw_claim = RawClaim::default();
    columns.note_in(&mut raw_claim);
    let mut record = ByteRecord::new();
    loop {
        let read = reader.read_byte_record(&mut record);
        reader.get_mut().next_line();
        match read {
            Ok(false) => return Ok(raw_claim),
            Ok(true) if is_blank(&record) => {}
            Ok(true) if raw_claim.is_overfull() => return Ok(raw_claim),
            Ok(true) => columns.add_row(&mut raw_claim, &record),
            Err(error) => {
                let trouble = CsvTrouble::of(error).map_err(|_| Malformed("the CSV cannot be read".to_owned()))?;
                let line = Some(raw_claim.line_count() + 1);
                trouble.note_in(&mut raw_claim, line);
                return Ok(raw_claim);
            }
        }
    }
}

/// A reader of records of at most `max_record_bytes`.
pub(super) fn reader<R: Read>(input: R, separator: u8, max_record_bytes: usize) -> Reader<CsvWatch<R>> {
    let watch = CsvWatch::new(input, separator, max_record_bytes);
    ReaderBuilder::new().flexible(true).delimiter(separator).from_reader(watch)
}

/// Whether a row has only separators and blanks, as spreadsheets save an empty row. It is skipped like a blank line.
pub(super) fn is_blank(record: &ByteRecord) -> bool {
    record.iter().all(|cell| std::str::from_utf8(cell).is_ok_and(|cell| cell.trim().is_empty()))
}

/// Whether the byte ends a line; before the first record such bytes are blank lines.
pub(super) fn ends_line(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The separator of the first record: what it has most of outside of quotes.
pub(super) fn separator(text: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in text.iter().skip_while(|byte| ends_line(byte)) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            byte if !quoted => {
                counts.iter_mut().filter(|(separator, _)| separator == byte).for_each(|(_, count)| *count += 1)
            }
            _ => {}
        }
    }
    // The first of equals is the comma.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

/// The columns as the row of names gives them.
pub(super) struct Columns {
    count: usize,
    /// The field of each, with the sender's name for it.
    fields: Vec<Option<(Field, String)>>,
    /// The column of each field.
    places: [Option<usize>; Field::ALL.len()],
    /// Findings about the columns, which every claim gets.
    notes: Vec<Note>,
    limits: ReadLimits,
}

/// A finding about columns, with their numbers, from 1.
enum Note {
    Unknown(usize, String),
    Repeated(Field, [String; 2], [usize; 2]),
    Missing(Field),
}

impl Columns {
    /// Reads the row of names.
    pub fn read<R: Read>(reader: &mut Reader<CsvWatch<R>>, limits: ReadLimits) -> Result<Self, Malformed> {
        let names = match reader.headers() {
            Ok(names) => names.clone(),
            Err(error) => {
                let why =
                    CsvTrouble::of(error).map_or_else(|_| "it must be UTF-8 text".to_owned(), |it| it.to_string());
                return Err(Malformed(format!("the row of column names cannot be read: {why}")));
            }
        };
        reader.get_mut().next_line();
        let most = limits.max_columns;
        if names.len() > most {
            return Err(Malformed(format!("the CSV names {} columns: at most {most} are read", names.len())));
        }
        let mut notes = Vec::new();
        let mut fields: Vec<Option<(Field, String)>> = Vec::with_capacity(names.len());
        for (name, number) in names.iter().zip(1..) {
            let Some(field) = Field::from_sent(name.trim()) else {
                notes.push(Note::Unknown(number, printable(name)));
                fields.push(None);
                continue;
            };
            let first = fields.iter().zip(1..).find_map(|(column, first)| match column {
                Some((other, as_first)) if *other == field => Some((first, as_first.clone())),
                _ => None,
            });
            if let Some((first, as_first)) = first {
                notes.push(Note::Repeated(field, [as_first, printable(name)], [first, number]));
                fields.push(None);
            } else {
                fields.push(Some((field, printable(name))));
            }
        }
        if fields.iter().all(Option::is_none) {
            return Err(Malformed(
                "the CSV must begin with a row of column names, as in service_date,submitted_procedure,…".to_owned(),
            ));
        }
        let mut places = [None; Field::ALL.len()];
        for (place, column) in fields.iter().enumerate() {
            if let Some((field, _)) = column {
                places[*field as usize] = Some(place);
            }
        }
        let missing = |field: &Field| field.is_required() && places[*field as usize].is_none();
        notes.extend(Field::ALL.into_iter().filter(missing).map(Note::Missing));
        Ok(Self { count: names.len(), fields, places, notes, limits })
    }

    /// Adds the findings about the columns to a claim.
    pub fn note_in(&self, raw_claim: &mut RawClaim) {
        for note in &self.notes {
            match note {
                Note::Unknown(number, name) if name.is_empty() => {
                    note_unknown(raw_claim, None, &format!("column {number}"), "has no name");
                }
                Note::Unknown(number, name) => {
                    note_unknown(
                        raw_claim,
                        None,
                        name,
                        &format!("is column {number}, which is not a field of a claim,"),
                    );
                }
                Note::Repeated(field, [first, second], columns) => {
                    note_repeated(raw_claim, None, *field, [first, second], Some(*columns));
                }
                // Once, and not for each row.
                Note::Missing(field) => {
                    let message = "is required, and the CSV has no column for it: add one with this name".to_owned();
                    let missing =
                        finding(raw_claim, None, field.name(), field.name(), &parse_errors::REQUIRED, message);
                    raw_claim.note_malformed(missing);
                }
            }
        }
    }

    /// The canonical name of each column; empty if it is not read.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|column| column.as_ref().map_or("", |(field, _)| field.name()))
    }

    /// Whether there is a column for a field.
    pub fn name(&self, field: Field) -> bool {
        self.places[field as usize].is_some()
    }

    /// The text of a field in a row: empty if there is no such column, and `None` if the cell is not UTF-8 or too long.
    pub fn text<'a>(&self, record: &'a ByteRecord, field: Field) -> Option<&'a str> {
        let Some(cell) = self.places[field as usize].and_then(|column| record.get(column)) else { return Some("") };
        let text = std::str::from_utf8(cell).ok().filter(|text| text.len() <= self.limits.max_value_bytes)?;
        Some(text.trim())
    }

    /// Whether a row has too few or too many cells, so that its cells cannot be assigned to columns.
    pub fn is_ragged(&self, record: &ByteRecord) -> bool {
        record.len() != self.count
    }

    /// Adds a row to a claim, as its next line. A ragged row becomes an empty line.
    pub fn add_row(&self, raw_claim: &mut RawClaim, record: &ByteRecord) {
        let line = raw_claim.begin_line();
        if self.is_ragged(record) {
            let message = format!(
                "has {} columns where the first row names {}: check its separators and quotes",
                record.len(),
                self.count
            );
            raw_claim.note_malformed(finding(raw_claim, Some(line), "row", "row", &parse_errors::RAGGED_ROW, message));
            return;
        }
        for (cell, column) in record.iter().zip(&self.fields) {
            let Some((field, name)) = column else { continue };
            let Ok(cell) = std::str::from_utf8(cell) else {
                let message = "is not UTF-8 text: save the file as UTF-8".to_owned();
                let not_text = finding(raw_claim, Some(line), field.name(), name, &parse_errors::NOT_TEXT, message);
                raw_claim.note_malformed(not_text);
                continue;
            };
            if self.limits.refuse_long(raw_claim, Some(line), *field, name, cell) {
                continue;
            }
            if *field == Field::ExternalClaimId {
                take_external_claim_id(raw_claim, Some(line), cell, name);
            } else {
                raw_claim.set(Some(line), *field, cell, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_what_the_row_of_names_has_most_of_outside_of_quotes() {
        for (text, expected) in [
            ("a,b\n1;2;3;4", b','),
            ("a;b;c\n", b';'),
            ("a\tb", b'\t'),
            ("\"a,b\nc,d\";e;f", b';'),
            ("a;b,c", b','),
            ("\r\n\n\ta\tb,c\n,,,,", b'\t'),
            ("", b','),
        ] {
            assert_eq!(separator(text.as_bytes()), expected, "{text}");
        }
    }
}
