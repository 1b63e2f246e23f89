//! CSV: a row of names, then one row a line; all rows are one claim.

use super::{Malformed, Place, note_repeated, note_unknown, printable};
use crate::domain::field::Field;
use crate::domain::form::{ClaimForm, LineForm, SentAs};
use crate::domain::rules::reading;

/// Reads one claim.
///
/// # Errors
/// When the body is not UTF-8 or has no row of names.
pub fn read_csv(body: &[u8]) -> Result<ClaimForm, Malformed> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(body);
    let names = reader.headers().map_err(|error| unreadable(&error))?.clone();
    let mut form = ClaimForm::default();
    let columns = read_names(&mut form, &names);
    if columns.iter().all(Option::is_none) {
        return Err(Malformed(
            "the CSV must begin with a row of column names, as in service_date,submitted_procedure,…".to_owned(),
        ));
    }
    for record in reader.records() {
        if form.is_overfull() {
            break;
        }
        let record = record.map_err(|error| unreadable(&error))?;
        let number = form.lines.len() + 1;
        let mut line = LineForm::at(None);
        if record.len() != names.len() {
            let message = format!(
                "has {} columns where the first row names {}: check its commas and quotes",
                record.len(),
                names.len()
            );
            let place = Place { line: Some(number), pointer: None };
            form.note_misread(place.finding("row", "row", &reading::RAGGED_ROW, message));
        }
        for (cell, column) in record.iter().zip(&columns) {
            let Some((field, name)) = column else { continue };
            let sent_as = SentAs { name: name.clone(), pointer: None };
            if *field == Field::ExternalClaimId {
                form.header.set_external_claim_id(cell, sent_as);
            } else {
                line.set(*field, cell, sent_as);
            }
        }
        form.lines.push(line);
    }
    Ok(form)
}

/// The field of each column, with the sender's name for it.
fn read_names(form: &mut ClaimForm, names: &::csv::StringRecord) -> Vec<Option<(Field, String)>> {
    let place = Place { line: None, pointer: None };
    let mut columns: Vec<Option<(Field, String)>> = Vec::with_capacity(names.len());
    for name in names {
        let Some(field) = Field::from_sent(name) else {
            note_unknown(form, &place, name);
            columns.push(None);
            continue;
        };
        let first = columns.iter().flatten().find(|(other, _)| *other == field).map(|(_, first)| first.clone());
        if let Some(first) = first {
            note_repeated(form, &place, field, &first, name);
            columns.push(None);
        } else {
            columns.push(Some((field, printable(name))));
        }
    }
    columns
}

fn unreadable(error: &::csv::Error) -> Malformed {
    let line = error.position().map_or(1, ::csv::Position::line);
    Malformed(format!("the CSV cannot be read near line {line}: it must be UTF-8 text"))
}
