//! What the csv crate does not report of its input: a quote that is never closed, a record that grows without end, and the
//! line at which a record begins. (The crate counts the blank lines before a record as part of it.)

use super::finding;
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::parse_errors;
use std::collections::VecDeque;
use std::io::{self, Read};

/// Why the rest of a CSV cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CsvTrouble {
    /// The text ended inside quotes.
    #[error("has a quote that is not closed: everything after it was read as one cell")]
    UnclosedQuote,
    /// A record has more bytes than allowed.
    #[error("has more than {0} bytes: is there a quote that is not closed?")]
    TooLong(usize),
}

impl CsvTrouble {
    /// Adds a finding for an unclosed quote to the claim it broke, at its `line`.
    pub fn note_in(self, raw_claim: &mut RawClaim, line: Option<usize>) {
        raw_claim.note_malformed(finding(
            raw_claim,
            line,
            "row",
            "row",
            &parse_errors::UNCLOSED_QUOTE,
            self.to_string(),
        ));
    }

    /// The trouble behind an error of the csv crate.
    ///
    /// # Errors
    /// The error itself, if it is another one: the input failed.
    pub fn of(error: ::csv::Error) -> io::Result<Self> {
        match error.into_kind() {
            ::csv::ErrorKind::Io(error) => error.downcast(),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Inspects every byte on its way to the csv crate, and finds the ends of records by the same rules.
pub(super) struct CsvWatch<R> {
    input: R,
    separator: u8,
    max_record_bytes: usize,
    at: At,
    record_bytes: usize,
    /// Whether the record has begun. Blank lines before it count towards its bytes, so that they are bounded, too.
    begun: bool,
    /// The current line, from 1, and whether the byte before was a CR, so that an LF ends the same line.
    line: u64,
    after_cr: bool,
    /// The first lines of the records that were inspected and not yet returned: as many as fit into the reader's buffer.
    begin_at: VecDeque<u64>,
    trouble: Option<CsvTrouble>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    CellStart,
    Cell,
    Quoted,
    /// After a quote inside quotes: it ends them, or is the first of a pair.
    QuotedQuote,
}

impl<R: Read> CsvWatch<R> {
    pub fn new(input: R, separator: u8, max_record_bytes: usize) -> Self {
        Self {
            input,
            separator,
            max_record_bytes,
            at: At::CellStart,
            record_bytes: 0,
            begun: false,
            line: 1,
            after_cr: false,
            begin_at: VecDeque::new(),
            trouble: None,
        }
    }

    /// The line at which the next record begins. To be called once for each record, in order, also for one that fails.
    pub fn next_line(&mut self) -> Option<u64> {
        self.begin_at.pop_front()
    }

    /// Inspects bytes up to the end of the last record before trouble, and returns how many they are.
    fn inspect(&mut self, bytes: &[u8]) -> usize {
        let mut ended = 0;
        for (index, byte) in bytes.iter().enumerate() {
            self.record_bytes += 1;
            self.at = match (self.at, byte) {
                (At::Quoted, b'"') => At::QuotedQuote,
                (At::Quoted, _) | (At::CellStart | At::QuotedQuote, b'"') => At::Quoted,
                (_, b'\n' | b'\r') => {
                    if std::mem::take(&mut self.begun) {
                        self.record_bytes = 0;
                        ended = index + 1;
                    }
                    At::CellStart
                }
                (_, byte) if *byte == self.separator => At::CellStart,
                _ => At::Cell,
            };
            if !self.begun && (self.at != At::CellStart || *byte == self.separator) {
                self.begun = true;
                self.begin_at.push_back(self.line);
            }
            self.line += u64::from(*byte == b'\r' || *byte == b'\n' && !self.after_cr);
            self.after_cr = *byte == b'\r';
            if self.record_bytes > self.max_record_bytes {
                self.trouble = Some(CsvTrouble::TooLong(self.max_record_bytes));
                return ended;
            }
        }
        bytes.len()
    }
}

impl<R: Read> Read for CsvWatch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        if self.trouble.is_none() {
            read = self.input.read(buffer)?;
            if read == 0 && !buffer.is_empty() && self.at == At::Quoted {
                self.trouble = Some(CsvTrouble::UnclosedQuote);
            }
            read = self.inspect(&buffer[..read]);
        }
        match self.trouble {
            // The complete records before it are read first.
            Some(trouble) if read == 0 => Err(io::Error::other(trouble)),
            _ => Ok(read),
        }
    }
}
