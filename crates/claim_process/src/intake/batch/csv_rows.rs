//! CSV of many claims: rows next to each other that are one claim.
//!
//! A row may not tell to which claim it belongs: its number of cells is wrong, or what claims are told apart by cannot be
//! read. It may be a line of the claim before it or of the claim after it, so both are refused, unless what can be read of
//! it says that it is not theirs: no claim is ever stored without a line that it may have had.

use super::claim::{BatchClaim, BatchLimits, Ended, Grouping, LOOKED_FOR_BEHIND, StandsIn};
use super::peek::peek;
use super::refusal::Refusal;
use super::row_key::RowKey;
use crate::domain::raw_claim::RawClaim;
use crate::intake::Malformed;
use crate::intake::csv::{Columns, ends_line, is_blank, reader, separator};
use crate::intake::csv_watch::CsvTrouble;
use ::csv::ByteRecord;
use std::io::Read;

/// The most blank rows next to each other: a spreadsheet has no more, and what is packed has no end of them.
const MOST_BLANK_ROWS: u32 = 1_048_576;

pub(super) fn read<E>(
    input: impl Read,
    grouping: Grouping,
    limits: BatchLimits,
    take: &mut dyn FnMut(BatchClaim) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    let max_claim_bytes = limits.max_claim_bytes;
    // The separator is told by the first record.
    let (mut begun, mut quoted) = (false, false);
    let (head, input) = peek(input, |piece| {
        piece.iter().any(|byte| {
            begun |= !ends_line(byte);
            quoted ^= *byte == b'"';
            *byte == b'\n' && begun && !quoted
        })
    })
    .map_err(Ended::Input)?;
    let mut reader = reader(input, separator(&head), max_claim_bytes);
    let columns = Columns::read(&mut reader, limits.read)?;
    let mut group: Option<Group> = None;
    let mut record = ByteRecord::new();
    let (mut row, mut blank_rows) = (0, 0);
    loop {
        let read = reader.read_byte_record(&mut record);
        let file_line = reader.get_mut().next_line();
        let trouble = match read {
            Ok(true) if is_blank(&record) => {
                blank_rows += 1;
                if blank_rows > MOST_BLANK_ROWS {
                    let why = format!("there are more than {MOST_BLANK_ROWS} blank rows after row {row}");
                    return Err(Ended::Malformed(Malformed(why)));
                }
                continue;
            }
            Ok(true) => None,
            Ok(false) => break,
            Err(error) => Some(CsvTrouble::of(error).map_err(Ended::Input)?),
        };
        (row, blank_rows) = (row + 1, 0);
        if grouping == Grouping::Row
            && let Some(whole) = group.take()
        {
            take(whole.finish()).map_err(Ended::Stopped)?;
        }
        if let Some(trouble) = trouble {
            // What follows cannot be told apart any more, and the claim in hand may not be whole.
            let mut broken = group.take().unwrap_or_else(|| Group::begin(&columns, row, file_line));
            broken.last_row = row;
            let line = usize::try_from(row + 1 - broken.first_row).ok();
            let end = match trouble {
                CsvTrouble::UnclosedQuote => {
                    if let Ok(form) = &mut broken.form {
                        trouble.note_in(form, line);
                    }
                    Ok(())
                }
                CsvTrouble::TooLong(most) => {
                    broken.form = Err(Refusal::TooLarge(most));
                    let why = format!("row {row} has more than {most} bytes, and what follows it was not read");
                    Err(Ended::Malformed(Malformed(why)))
                }
            };
            take(broken.finish()).map_err(Ended::Stopped)?;
            return end;
        }
        let key = RowKey::of(&columns, &record);
        let mut in_doubt = None;
        if let Some(whole) = group.take_if(|group| !group.may_have(&key)) {
            in_doubt = whole.doubt_about(&key);
            take(whole.finish()).map_err(Ended::Stopped)?;
        }
        let claim = group.get_or_insert_with(|| Group::begin(&columns, row, file_line));
        if let Some(row) = in_doubt {
            claim.refuse_with(row);
        }
        claim.add(&columns, &record, row, key);
        if claim.bytes > max_claim_bytes {
            claim.form = Err(Refusal::TooLarge(max_claim_bytes));
        }
        if let Some(endless) = group.take_if(|claim| claim.bytes / LOOKED_FOR_BEHIND > max_claim_bytes) {
            let why =
                format!("rows {} to {row} are one claim without end, and what follows was not read", endless.first_row);
            take(endless.finish()).map_err(Ended::Stopped)?;
            return Err(Ended::Malformed(Malformed(why)));
        }
    }
    match group {
        Some(last) => take(last.finish()).map_err(Ended::Stopped),
        None => Ok(()),
    }
}

/// The rows of a claim so far.
struct Group {
    /// That of its rows, where one of them has it whole.
    key: Option<RowKey>,
    /// That of its last row, where it is not whole.
    doubtful: Option<RowKey>,
    first_row: u64,
    last_row: u64,
    /// At which its first row begins.
    file_line: Option<u64>,
    /// Those of its rows, unpacked.
    bytes: usize,
    form: Result<RawClaim, Refusal>,
    hash: super::hash::Hash,
}

impl Group {
    fn begin(columns: &Columns, row: u64, file_line: Option<u64>) -> Self {
        let mut form = RawClaim::default();
        columns.note_in(&mut form);
        // The same cells under other names are another claim.
        let mut hash = super::hash::Hash::default();
        columns.names().for_each(|name| hash.add(name.as_bytes()));
        Self { key: None, doubtful: None, first_row: row, last_row: row, file_line, bytes: 0, form: Ok(form), hash }
    }

    /// Whether the row after its last is one of its own, or cannot be told from one.
    fn may_have(&self, key: &RowKey) -> bool {
        self.key.as_ref().or(self.doubtful.as_ref()).is_none_or(|own| own.may_be(key))
    }

    /// Its last row, where that may be one of the next claim's.
    fn doubt_about(&self, next: &RowKey) -> Option<u64> {
        self.doubtful.as_ref().is_some_and(|doubtful| doubtful.may_be(next)).then_some(self.last_row)
    }

    /// Refuses it for a row before it that may be its first.
    fn refuse_with(&mut self, row: u64) {
        if let Ok(form) = &mut self.form {
            form.note_malformed(Refusal::RowInDoubt(row).finding());
        }
    }

    fn add(&mut self, columns: &Columns, record: &ByteRecord, row: u64, key: RowKey) {
        self.last_row = row;
        if key.is_whole() {
            self.doubtful = None;
            self.key.get_or_insert(key);
        } else {
            self.doubtful = Some(key);
        }
        for cell in record {
            self.hash.add(cell);
        }
        self.bytes = self.bytes.saturating_add(record.as_slice().len());
        if let Ok(form) = &mut self.form
            && !form.is_overfull()
        {
            columns.add_row(form, record);
        }
    }

    fn finish(self) -> BatchClaim {
        BatchClaim {
            stands_in: Some(StandsIn::Rows(self.first_row, self.last_row)),
            file_line: self.file_line,
            form: self.form,
            hash: self.hash.in_hex(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::ReadLimits;
    use crate::intake::batch::{BatchFormat, read_batch};
    use std::convert::Infallible;

    /// A claim's first and last row, and how many lines it has.
    type Claimed = (u64, u64, Result<usize, Refusal>);

    /// The claims of a CSV in which a claim may have 100 bytes: their rows, and how many lines they have.
    fn claims(text: &str) -> (Vec<Claimed>, Result<(), Ended<Infallible>>) {
        let mut claims = Vec::new();
        let limits = BatchLimits { max_claim_bytes: 100, read: ReadLimits::default() };
        let ended = read_batch(text.as_bytes(), Some(BatchFormat::Csv), Grouping::Claim, limits, &mut |claim| {
            let Some(StandsIn::Rows(first, last)) = claim.stands_in else { panic!("a claim of no rows") };
            claims.push((first, last, claim.form.map(|form| form.lines.len())));
            Ok(())
        });
        (claims, ended)
    }

    #[test]
    fn claims_before_a_row_that_is_too_long_are_taken_though_they_arrive_with_it() {
        let (claims, ended) = claims(&format!("plan_group,quadrant\nA,1\nB,2\nC,1\nD,{}\n", "1".repeat(100)));
        let too_large = (3, 4, Err(Refusal::TooLarge(100)));
        assert_eq!(claims, [(1, 1, Ok(1)), (2, 2, Ok(1)), too_large]);
        assert!(matches!(ended, Err(Ended::Malformed(_))), "{ended:?}");
    }

    #[test]
    fn blank_rows_without_end_are_not_read_to_their_end() {
        let endless = Read::chain("npi,quadrant\n1,UR\n".as_bytes(), Repeated::default());
        let limits = BatchLimits { max_claim_bytes: 100, read: ReadLimits::default() };
        let ended = read_batch(endless, Some(BatchFormat::Csv), Grouping::Claim, limits, &mut |_| Ok::<_, ()>(()));
        assert!(matches!(ended, Err(Ended::Malformed(_))), "{ended:?}");
    }

    /// Blank rows without end.
    #[derive(Default)]
    struct Repeated {
        next: usize,
    }

    impl Read for Repeated {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            for byte in &mut *buffer {
                *byte = b",\n"[self.next % 2];
                self.next += 1;
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_claim_without_end_ends_the_batch() {
        let (claims, ended) = claims(&format!("external_id,quadrant\nA,1\n{}C,1\n", "B,1\n".repeat(1_000)));
        assert_eq!(claims[0], (1, 1, Ok(1)));
        assert!(claims.len() == 2 && claims[1].2 == Err(Refusal::TooLarge(100)), "{claims:?}");
        assert!(matches!(ended, Err(Ended::Malformed(_))), "{ended:?}");
    }

    #[test]
    fn rows_that_are_one_claim_are_together_no_larger_than_a_claim_may_be() {
        let row = |claim: &str| format!("{claim},{}\n", "x".repeat(40));
        let rows = [row("A"), row("A"), row("B"), row("B"), row("B"), row("C")].concat();
        let (claims, ended) = claims(&format!("external_id,quadrant\n{rows}"));
        assert_eq!(claims, [(1, 2, Ok(2)), (3, 5, Err(Refusal::TooLarge(100))), (6, 6, Ok(1))]);
        assert!(ended.is_ok(), "{ended:?}");
    }
}
