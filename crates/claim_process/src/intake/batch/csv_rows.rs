//! CSV of many claims: rows next to each other that are one claim.

use super::{BatchClaim, BatchLimits, Ended, Grouping, Refusal, StandsIn, peek};
use crate::domain::field::Field;
use crate::domain::form::ClaimForm;
use crate::domain::service_date::ServiceDate;
use crate::intake::Malformed;
use crate::intake::csv::{Columns, reader, separator};
use crate::intake::csv_watch::CsvTrouble;
use ::csv::ByteRecord;
use std::io::Read;

/// What the rows of a claim have in common.
const SHARED: [Field; 3] = [Field::PlanGroup, Field::SubscriberId, Field::ProviderNpi];

pub(super) fn read<E>(
    input: impl Read,
    grouping: Grouping,
    limits: BatchLimits,
    take: &mut dyn FnMut(BatchClaim) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    let (head, input) = peek(input, has_a_record).map_err(Ended::Input)?;
    let mut reader = reader(input, separator(&head), limits.max_claim_bytes);
    let columns = Columns::read(&mut reader, limits.read)?;
    let mut group: Option<Group> = None;
    let mut record = ByteRecord::new();
    let mut row = 0;
    loop {
        let trouble = match reader.read_byte_record(&mut record) {
            Ok(true) => None,
            Ok(false) => break,
            Err(error) => Some(unreadable(error)?),
        };
        row += 1;
        if let Some(trouble) = trouble {
            // What follows cannot be told apart any more, and the claim in hand may not be whole.
            let mut broken = group.take().unwrap_or_else(|| Group::begin(&columns, String::new(), row));
            broken.last_row = row;
            let line = usize::try_from(row + 1 - broken.first_row).ok();
            let (form, end) = match trouble {
                CsvTrouble::UnclosedQuote => {
                    trouble.note_in(&mut broken.form, line);
                    (None, Ok(()))
                }
                CsvTrouble::TooLong(most) => {
                    let why = format!("row {row} has more than {most} bytes, and what follows it was not read");
                    (Some(Err(Refusal::TooLarge(most))), Err(Ended::Malformed(Malformed(why))))
                }
            };
            let mut broken = broken.finish();
            broken.form = form.unwrap_or(broken.form);
            take(broken).map_err(Ended::Stopped)?;
            return end;
        }
        let key = key(&columns, &record);
        if group.as_ref().is_some_and(|group| grouping == Grouping::Row || group.key != key)
            && let Some(whole) = group.take()
        {
            take(whole.finish()).map_err(Ended::Stopped)?;
        }
        group.get_or_insert_with(|| Group::begin(&columns, key, row)).add(&columns, &record, row);
    }
    match group {
        Some(last) => take(last.finish()).map_err(Ended::Stopped),
        None => Ok(()),
    }
}

/// The rows of a claim so far.
struct Group {
    key: String,
    first_row: u64,
    last_row: u64,
    form: ClaimForm,
    hash: super::Hash,
}

impl Group {
    fn begin(columns: &Columns, key: String, row: u64) -> Self {
        let mut form = ClaimForm::default();
        columns.note_in(&mut form);
        Self { key, first_row: row, last_row: row, form, hash: super::Hash::default() }
    }

    fn add(&mut self, columns: &Columns, record: &ByteRecord, row: u64) {
        self.last_row = row;
        for cell in record {
            self.hash.add(cell);
        }
        if !self.form.is_overfull() {
            columns.add_row(&mut self.form, record);
        }
    }

    fn finish(self) -> BatchClaim {
        BatchClaim {
            stands_in: Some(StandsIn::Rows(self.first_row, self.last_row)),
            form: Ok(self.form),
            hash: self.hash.in_hex(),
        }
    }
}

fn key(columns: &Columns, record: &ByteRecord) -> String {
    let external = columns.text(record, Field::ExternalClaimId);
    if !external.is_empty() {
        return format!("\n{external}");
    }
    let date = columns.text(record, Field::ServiceDate);
    let mut key = ServiceDate::parse(date).map_or_else(|_| date.to_owned(), |date| date.to_string());
    for field in SHARED {
        key.push('\n');
        key.push_str(columns.text(record, field));
    }
    key
}

/// Whether there is a whole record: what the separator is told by.
fn has_a_record(head: &[u8]) -> bool {
    let mut quoted = false;
    head.iter().any(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'\n' && !quoted
    })
}

fn unreadable<E>(error: ::csv::Error) -> Result<CsvTrouble, Ended<E>> {
    let ::csv::ErrorKind::Io(error) = error.into_kind() else {
        return Err(Ended::Malformed(Malformed("the CSV cannot be read".to_owned())));
    };
    error.downcast::<CsvTrouble>().map_err(Ended::Input)
}
