//! What the csv crate does not say of what it reads: a quote that is never closed, and a record that grows without end.

use super::Place;
use crate::domain::form::ClaimForm;
use crate::domain::rules::reading;
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
    /// Notes a quote that is not closed in the claim it broke, at its `line`.
    pub fn note_in(self, form: &mut ClaimForm, line: Option<usize>) {
        let place = Place { line, pointer: None };
        form.note_misread(place.finding("row", "row", &reading::UNCLOSED_QUOTE, self.to_string()));
    }

    /// The trouble behind an error of the csv crate, if it is one.
    pub fn of(error: ::csv::Error) -> Option<Self> {
        let ::csv::ErrorKind::Io(error) = error.into_kind() else { return None };
        error.downcast::<Self>().ok()
    }
}

/// Looks at every byte on its way to the csv crate, and knows where records end as it does.
pub(super) struct CsvWatch<R> {
    input: R,
    separator: u8,
    max_record_bytes: usize,
    at: At,
    record_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    CellStart,
    Cell,
    Quoted,
    /// Behind a quote inside quotes: the end of them, or one of a pair.
    QuotedQuote,
}

impl<R: Read> CsvWatch<R> {
    pub fn new(input: R, separator: u8, max_record_bytes: usize) -> Self {
        Self { input, separator, max_record_bytes, at: At::CellStart, record_bytes: 0 }
    }

    /// How many of the bytes come before a record is too long.
    fn look(&mut self, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            self.record_bytes += 1;
            self.at = match (self.at, byte) {
                (At::Quoted, b'"') => At::QuotedQuote,
                (At::Quoted, _) | (At::CellStart | At::QuotedQuote, b'"') => At::Quoted,
                (_, b'\n' | b'\r') => {
                    self.record_bytes = 0;
                    At::CellStart
                }
                (_, byte) if *byte == self.separator => At::CellStart,
                _ => At::Cell,
            };
            if self.record_bytes > self.max_record_bytes {
                return index;
            }
        }
        bytes.len()
    }
}

impl<R: Read> Read for CsvWatch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.record_bytes <= self.max_record_bytes {
            let read = self.input.read(buffer)?;
            if read == 0 && !buffer.is_empty() && self.at == At::Quoted {
                return Err(io::Error::other(CsvTrouble::UnclosedQuote));
            }
            // Records before the one that is too long are whole, so they are handed on first.
            let fitting = self.look(&buffer[..read]);
            if fitting > 0 || read == 0 {
                return Ok(fitting);
            }
        }
        Err(io::Error::other(CsvTrouble::TooLong(self.max_record_bytes)))
    }
}
