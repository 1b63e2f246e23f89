//! The rows of a CSV of many claims, one after another. Blank rows are skipped, and a row whose end cannot be found is the
//! last. Which of them are one claim, `row_groups` decides.

use super::claim::{BatchClaim, BatchLimits, Ended, Grouping};
use super::peek::{Peeked, peek};
use super::row_groups::{Finished, RowGroups, RowPlace};
use crate::intake::Malformed;
use crate::intake::csv::{Columns, ends_line, is_blank, reader, separator};
use crate::intake::csv_watch::{CsvTrouble, CsvWatch};
use ::csv::{ByteRecord, Reader};
use std::io::{self, Read};

/// The most consecutive blank rows: a spreadsheet has no more, and a compressed file could hold them without end.
const MOST_BLANK_ROWS: u32 = 1_048_576;

pub(super) fn read<E>(
    input: impl Read,
    grouping: Grouping,
    limits: BatchLimits,
    take: &mut dyn FnMut(BatchClaim) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    let mut rows = Rows::open(input, limits.max_claim_bytes).map_err(Ended::Input)?;
    let columns = Columns::read(&mut rows.reader, limits.read)?;
    let mut groups = RowGroups::new(&columns, grouping, limits.max_claim_bytes, limits.hashes);
    while let Some((place, row)) = rows.next()? {
        let Finished { claims, end } = match row {
            Row::Whole => groups.add(place, &rows.record),
            Row::Broken(trouble) => groups.break_off(place, trouble),
        };
        for claim in claims {
            take(claim).map_err(Ended::Stopped)?;
        }
        if let Some(end) = end {
            return end.map_err(Ended::Malformed);
        }
    }
    groups.finish().map_or(Ok(()), |last| take(last).map_err(Ended::Stopped))
}

/// How much of a row was read.
enum Row {
    /// All of it: it is in [`Rows::record`].
    Whole,
    /// Its end cannot be found.
    Broken(CsvTrouble),
}

/// The rows of a CSV.
struct Rows<R> {
    reader: Reader<CsvWatch<Peeked<R>>>,
    /// The row that was read last.
    record: ByteRecord,
    /// How many rows were read, without blank ones.
    count: u64,
}

impl<R: Read> Rows<R> {
    fn open(input: R, max_row_bytes: usize) -> io::Result<Self> {
        // The first record determines the separator.
        let (mut begun, mut quoted) = (false, false);
        let (head, input) = peek(input, |piece| {
            piece.iter().any(|byte| {
                begun |= !ends_line(byte);
                quoted ^= *byte == b'"';
                *byte == b'\n' && begun && !quoted
            })
        })?;
        Ok(Self { reader: reader(input, separator(&head), max_row_bytes), record: ByteRecord::new(), count: 0 })
    }

    /// Reads the next row that is not blank, or `None` at the end of the input.
    fn next<E>(&mut self) -> Result<Option<(RowPlace, Row)>, Ended<E>> {
        for _ in 0..=MOST_BLANK_ROWS {
            let read = self.reader.read_byte_record(&mut self.record);
            let file_line = self.reader.get_mut().next_line();
            let row = match read {
                Ok(true) if is_blank(&self.record) => continue,
                Ok(true) => Row::Whole,
                Ok(false) => return Ok(None),
                Err(error) => Row::Broken(CsvTrouble::of(error).map_err(Ended::Input)?),
            };
            self.count += 1;
            return Ok(Some((RowPlace { row: self.count, file_line }, row)));
        }
        let why = format!("there are more than {MOST_BLANK_ROWS} blank rows after row {}", self.count);
        Err(Ended::Malformed(Malformed(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::SourceLocation;
    use super::super::refusal::Refusal;
    use super::*;
    use crate::intake::ReadLimits;
    use crate::intake::batch_input::{BatchFormat, read_batch};
    use std::convert::Infallible;

    /// A claim's first and last row, and how many lines it has.
    type Claimed = (u64, u64, Result<usize, Refusal>);

    /// The claims of a CSV in which a claim may have 100 bytes: their rows, and how many lines they have.
    fn claims(text: &str) -> (Vec<Claimed>, Result<(), Ended<Infallible>>) {
        let mut claims = Vec::new();
        let limits = BatchLimits { max_claim_bytes: 100, read: ReadLimits::default(), hashes: true };
        let ended = read_batch(text.as_bytes(), Some(BatchFormat::Csv), Grouping::Claim, limits, &mut |claim| {
            let Some(SourceLocation::Rows(first, last)) = claim.location else { panic!("a claim of no rows") };
            claims.push((first, last, claim.raw_claim.map(|raw_claim| raw_claim.line_count())));
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
        let limits = BatchLimits { max_claim_bytes: 100, read: ReadLimits::default(), hashes: true };
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
