//! Which rows of a CSV are one claim: consecutive rows, by their keys, or each row by itself.
//!
//! The claim of a row is in doubt if its number of cells is wrong, or if its key cannot be read. The row may be a line of the
//! claim before it or of the claim after it, so both are refused, unless the part of its key that can be read differs from
//! theirs. So no claim is ever stored without a line that it may have had.

use super::claim::{BatchClaim, Grouping, MOST_SKIPPED_CLAIM_SIZES, SourceLocation};
use super::hash::Hash;
use super::refusal::Refusal;
use super::row_key::RowKey;
use crate::domain::raw_claim::RawClaim;
use crate::intake::Malformed;
use crate::intake::csv::Columns;
use crate::intake::csv_watch::CsvTrouble;
use ::csv::ByteRecord;

/// The place of a row in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// Its number, from 1, without the row of names and blank rows.
    pub row: u64,
    /// The line of the file at which it begins, from 1.
    pub file_line: Option<u64>,
}

/// What a row finishes.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// Claims that have no more rows, in their order.
    pub claims: Vec<BatchClaim>,
    /// How reading ends, where no row after it can be read.
    pub end: Option<Result<(), Malformed>>,
}

/// Gathers rows into claims. One claim at most is in memory.
pub(super) struct RowGroups<'a> {
    columns: &'a Columns,
    grouping: Grouping,
    max_claim_bytes: usize,
    hashes: bool,
    /// The claim of the last row.
    current: Option<Group>,
}

impl<'a> RowGroups<'a> {
    /// `hashes`: whether each claim gets a hash.
    pub fn new(columns: &'a Columns, grouping: Grouping, max_claim_bytes: usize, hashes: bool) -> Self {
        Self { columns, grouping, max_claim_bytes, hashes, current: None }
    }

    /// Adds a row to the claim before it, or begins one with it.
    pub fn add(&mut self, place: RowPlace, record: &ByteRecord) -> Finished {
        let key = RowKey::of(self.columns, record);
        let mut finished = Finished::default();
        let grouping = self.grouping;
        let before = self.current.take_if(|group| grouping == Grouping::Row || !group.may_have(&key));
        // Where each row is a claim, none can be a line of another.
        let doubt = before.as_ref().filter(|_| grouping == Grouping::Claim).and_then(|before| before.doubt_about(&key));
        finished.claims.extend(before.map(Group::finish));

        let group = self.current.get_or_insert_with(|| Group::begin(self.columns, place, self.hashes));
        if let Some(row) = doubt {
            group.refuse_with(row);
        }
        group.add(self.columns, record, place.row, key);
        let (max_claim_bytes, first_row) = (self.max_claim_bytes, group.first_row);
        if group.bytes > max_claim_bytes {
            group.raw_claim = Err(Refusal::TooLarge(max_claim_bytes));
        }
        if let Some(endless) = self.current.take_if(|group| group.bytes / MOST_SKIPPED_CLAIM_SIZES > max_claim_bytes) {
            let why =
                format!("rows {first_row} to {} are one claim without end, and what follows was not read", place.row);
            finished.claims.push(endless.finish());
            finished.end = Some(Err(Malformed(why)));
        }
        finished
    }

    /// Ends the claims at a row whose end cannot be found. The claim before it may not be whole.
    pub fn break_off(&mut self, place: RowPlace, trouble: CsvTrouble) -> Finished {
        let before = self.current.take();
        let (whole, broken) = match self.grouping {
            Grouping::Row => (before, None),
            Grouping::Claim => (None, before),
        };
        let mut broken = broken.unwrap_or_else(|| Group::begin(self.columns, place, self.hashes));
        broken.last_row = place.row;
        let end = match trouble {
            CsvTrouble::UnclosedQuote => {
                let line = usize::try_from(place.row + 1 - broken.first_row).ok();
                if let Ok(raw_claim) = &mut broken.raw_claim {
                    trouble.note_in(raw_claim, line);
                }
                Ok(())
            }
            CsvTrouble::TooLong(most) => {
                broken.raw_claim = Err(Refusal::TooLarge(most));
                let why = format!("row {} has more than {most} bytes, and what follows it was not read", place.row);
                Err(Malformed(why))
            }
        };
        Finished { claims: whole.into_iter().chain([broken]).map(Group::finish).collect(), end: Some(end) }
    }

    /// The last claim, after the last row.
    pub fn finish(self) -> Option<BatchClaim> {
        self.current.map(Group::finish)
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
    /// The line of the file at which its first row begins.
    file_line: Option<u64>,
    /// The bytes of its rows, after decompression.
    bytes: usize,
    raw_claim: Result<RawClaim, Refusal>,
    hash: Option<Hash>,
}

impl Group {
    fn begin(columns: &Columns, RowPlace { row, file_line }: RowPlace, hashes: bool) -> Self {
        let mut raw_claim = RawClaim::default();
        columns.note_in(&mut raw_claim);
        // The same cells under other names are another claim.
        let mut hash = hashes.then(Hash::default);
        hash.iter_mut().for_each(|hash| columns.names().for_each(|name| hash.add(name.as_bytes())));
        Self {
            key: None,
            doubtful: None,
            first_row: row,
            last_row: row,
            file_line,
            bytes: 0,
            raw_claim: Ok(raw_claim),
            hash,
        }
    }

    /// Whether a row with this key is, or may be, a row of this claim.
    fn may_have(&self, key: &RowKey) -> bool {
        self.key.as_ref().or(self.doubtful.as_ref()).is_none_or(|own| own.may_be(key))
    }

    /// The number of its last row, if that may be a row of the next claim.
    fn doubt_about(&self, next: &RowKey) -> Option<u64> {
        self.doubtful.as_ref().is_some_and(|doubtful| doubtful.may_be(next)).then_some(self.last_row)
    }

    /// Refuses the claim because the row before it may be its first row.
    fn refuse_with(&mut self, row: u64) {
        if let Ok(raw_claim) = &mut self.raw_claim {
            raw_claim.note_malformed(Refusal::RowInDoubt(row).finding());
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
        if let Some(hash) = &mut self.hash {
            record.iter().for_each(|cell| hash.add(cell));
        }
        self.bytes = self.bytes.saturating_add(record.as_slice().len());
        if let Ok(raw_claim) = &mut self.raw_claim
            && !raw_claim.is_overfull()
        {
            columns.add_row(raw_claim, record);
        }
    }

    fn finish(self) -> BatchClaim {
        BatchClaim {
            location: Some(SourceLocation::Rows(self.first_row, self.last_row)),
            file_line: self.file_line,
            raw_claim: self.raw_claim,
            hash: self.hash.map(Hash::in_hex),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::Limits;
    use crate::domain::rules::default_severities;
    use crate::domain::rules::rule_set::RuleSet;
    use crate::intake::ReadLimits;
    use crate::intake::csv::reader;
    use jiff::Timestamp;

    /// The columns of a CSV whose claims are distinguished by their ids.
    fn columns() -> Columns {
        let mut reader = reader("external_claim_id,quadrant\n".as_bytes(), b',', 1_000);
        Columns::read(&mut reader, ReadLimits::default()).expect("there are columns")
    }

    fn place(row: u64) -> RowPlace {
        RowPlace { row, file_line: Some(row + 1) }
    }

    /// A finished claim: its rows, and how many lines it has or why it is refused. Findings of a readable claim are ignored.
    type Seen = (SourceLocation, Result<usize, Refusal>);

    fn seen(finished: impl IntoIterator<Item = BatchClaim>) -> Vec<Seen> {
        let seen = finished.into_iter().map(|claim| {
            (claim.location.expect("it has rows"), claim.raw_claim.map(|raw_claim| raw_claim.line_count()))
        });
        seen.collect()
    }

    /// The codes of what is found wrong with a claim.
    fn codes(claim: &BatchClaim) -> Vec<String> {
        let rules = RuleSet::new(default_severities(), Limits::default(), None);
        let raw_claim = claim.raw_claim.as_ref().expect("it can be read");
        let refused = rules.validate(raw_claim, Timestamp::now()).refused;
        refused.iter().map(|finding| finding.code().to_owned()).collect()
    }

    /// Adds rows that finish no reading, and returns the claims that are finished by each.
    fn add(groups: &mut RowGroups<'_>, rows: &[&[&str]]) -> Vec<Vec<Seen>> {
        let finished = (1..).zip(rows).map(|(row, cells)| {
            let Finished { claims, end } = groups.add(place(row), &ByteRecord::from(cells.to_vec()));
            assert!(end.is_none(), "{end:?}");
            seen(claims)
        });
        finished.collect()
    }

    fn rows(first: u64, last: u64) -> SourceLocation {
        SourceLocation::Rows(first, last)
    }

    #[test]
    fn rows_with_one_key_are_one_claim_that_the_next_key_finishes() {
        let columns = columns();
        let mut groups = RowGroups::new(&columns, Grouping::Claim, 1_000, true);
        let finished = add(&mut groups, &[&["A", "UR"], &["A", "UL"], &["B", "UR"]]);
        assert_eq!(finished, [vec![], vec![], vec![(rows(1, 2), Ok(2))]]);
        assert_eq!(seen(groups.finish()), [(rows(3, 3), Ok(1))]);
    }

    #[test]
    fn each_row_is_a_claim_where_that_is_wanted_and_a_ragged_one_leaves_the_next_alone() {
        let columns = columns();
        let mut groups = RowGroups::new(&columns, Grouping::Row, 1_000, true);
        let finished = add(&mut groups, &[&["A", "UR"], &["A"], &["A", "UL"]]);
        assert_eq!(finished, [vec![], vec![(rows(1, 1), Ok(1))], vec![(rows(2, 2), Ok(1))]]);
        let last = groups.finish().expect("a claim");
        assert!(!codes(&last).contains(&"row_in_doubt".to_owned()), "{:?}", codes(&last));
    }

    #[test]
    fn a_row_that_may_be_of_the_next_claim_refuses_that_too() {
        let columns = columns();
        let mut groups = RowGroups::new(&columns, Grouping::Claim, 1_000, true);
        let finished = add(&mut groups, &[&["A", "UR"], &["A"], &["B", "UL"]]);
        assert_eq!(finished[2], [(rows(1, 2), Ok(2))]);
        let last = groups.finish().expect("a claim");
        assert!(codes(&last).contains(&"row_in_doubt".to_owned()), "{:?}", codes(&last));
    }

    #[test]
    fn a_claim_that_is_too_large_is_refused_and_one_without_end_ends_the_reading() {
        let columns = columns();
        let mut groups = RowGroups::new(&columns, Grouping::Claim, 10, true);
        let row = ByteRecord::from(vec!["A", "12345678"]);
        let ended = (1..).map(|row_number| groups.add(place(row_number), &row)).find(|finished| finished.end.is_some());
        let Finished { claims, end } = ended.expect("it ends");
        assert!(matches!(end, Some(Err(_))), "{end:?}");
        assert_eq!(seen(claims), [(rows(1, 20), Err(Refusal::TooLarge(10)))]);
        assert!(groups.finish().is_none());
    }

    #[test]
    fn a_quote_that_is_not_closed_is_noted_in_the_claim_it_may_be_of() {
        for (grouping, expected) in [
            (Grouping::Claim, vec![(rows(1, 2), Ok(1))]),
            (Grouping::Row, vec![(rows(1, 1), Ok(1)), (rows(2, 2), Ok(0))]),
        ] {
            let columns = columns();
            let mut groups = RowGroups::new(&columns, grouping, 1_000, true);
            add(&mut groups, &[&["A", "UR"]]);
            let Finished { claims, end } = groups.break_off(place(2), CsvTrouble::UnclosedQuote);
            assert!(matches!(end, Some(Ok(()))), "{end:?}");
            let noted = claims.iter().map(|claim| codes(claim).contains(&"unclosed_quote".to_owned()));
            assert_eq!(noted.collect::<Vec<_>>(), [vec![false; claims.len() - 1], vec![true]].concat());
            assert_eq!(seen(claims), expected);
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_refused_with_the_claim_it_may_be_of_and_ends_the_reading() {
        let columns = columns();
        let mut groups = RowGroups::new(&columns, Grouping::Claim, 1_000, true);
        add(&mut groups, &[&["A", "UR"]]);
        let Finished { claims, end } = groups.break_off(place(2), CsvTrouble::TooLong(1_000));
        assert_eq!(seen(claims), [(rows(1, 2), Err(Refusal::TooLarge(1_000)))]);
        let Some(Err(Malformed(why))) = end else { panic!("{end:?}") };
        assert!(why.starts_with("row 2 has more than 1000 bytes"), "{why}");
    }
}
