//! Many claims, read one after another and handed on as soon as each is whole: CSV, a JSON array, or a JSON value a line.
//!
//! Whatever the size of what is sent, no more than one claim is in memory. Reading stops where the rest cannot be told
//! apart any more; what was whole before that stands.

mod csv_rows;
mod json_array;
mod json_lines;
mod refusal;
mod row_key;

use super::{Malformed, ReadLimits};
use crate::domain::form::ClaimForm;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, Cursor, Read};
use utoipa::ToSchema;

pub use refusal::Refusal;

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFormat {
    /// One array of claims.
    JsonArray,
    /// A claim a line.
    JsonLines,
    /// Rows; those of a claim are next to each other.
    Csv,
}

/// Which rows of a CSV are one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// Those next to each other with the same external claim id, or without one the same plan, subscriber, provider and
    /// service date. A row that does not tell is refused with the claims beside it, of which it may be a line.
    #[default]
    Claim,
    /// Each by itself.
    Row,
}

/// How much of a batch is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most bytes of a claim, or of a row of a CSV, unpacked.
    pub max_claim_bytes: usize,
    /// What holds of each claim.
    pub read: ReadLimits,
}

/// Behind a claim that is too large, at most this many times the size that one may have is skipped to find its end; then the
/// batch ends. A small packed file could otherwise unpack without end.
const LOOKED_FOR_BEHIND: usize = 16;

/// Where in a batch a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandsIn {
    /// The first and the last of its rows in a CSV, from 1, without the row of names.
    Rows(u64, u64),
    /// Its line in JSON Lines, from 1.
    InputLine(u64),
}

/// One claim of a batch.
#[derive(Debug)]
pub struct BatchClaim {
    /// Where it stands; in an array its index says that.
    pub stands_in: Option<StandsIn>,
    /// The line of a CSV at which its first row begins, from 1: rows are not lines where there are blank lines or rows, or
    /// line breaks inside quotes.
    pub file_line: Option<u64>,
    /// The claim as it was sent, or what is wrong with it where it is none.
    pub form: Result<ClaimForm, Refusal>,
    /// SHA-256 of what was sent, in hex: the same claim sent again has the same.
    pub hash: String,
}

/// Why reading ended before the end.
#[derive(Debug)]
pub enum Ended<E> {
    /// What follows is not what it should be.
    Malformed(Malformed),
    /// The input failed.
    Input(io::Error),
    /// Whoever took the claims wants no more.
    Stopped(E),
}

impl<E> From<Malformed> for Ended<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Reads claims and hands each to `take`. Input that begins with gzip's magic number is unpacked. Without a format the
/// first character tells.
///
/// # Errors
/// Why it ended before the end of the input.
pub fn read_batch<E>(
    input: impl Read,
    format: Option<BatchFormat>,
    grouping: Grouping,
    limits: BatchLimits,
    take: &mut dyn FnMut(BatchClaim) -> Result<(), E>,
) -> Result<(), Ended<E>> {
    let mut length = 0;
    let (magic, input) = peek(input, |piece| {
        length += piece.len();
        length >= GZIP_MAGIC.len()
    })
    .map_err(Ended::Input)?;
    let input: Box<dyn Read + '_> =
        if magic.starts_with(GZIP_MAGIC) { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
    let (mut length, mut begun) = (0, false);
    let (head, mut input) = peek(input, |piece| {
        length += piece.len();
        begun |= piece.iter().any(|byte| !byte.is_ascii_whitespace() && !BYTE_ORDER_MARK.contains(byte));
        length >= BYTE_ORDER_MARK.len() && begun
    })
    .map_err(Ended::Input)?;
    if head.starts_with(BYTE_ORDER_MARK) {
        input.read_exact(&mut [0; BYTE_ORDER_MARK.len()]).map_err(Ended::Input)?;
    }
    let format = format.unwrap_or(match first_character(&head) {
        Some(b'[') => BatchFormat::JsonArray,
        Some(b'{') => BatchFormat::JsonLines,
        _ => BatchFormat::Csv,
    });
    match format {
        BatchFormat::JsonArray => json_array::read(BufReader::new(input), limits, take),
        BatchFormat::JsonLines => json_lines::read(BufReader::new(input), limits, take),
        BatchFormat::Csv => csv_rows::read(input, grouping, limits, take),
    }
}

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The most that is looked at ahead of reading it.
const LONGEST_PEEK: usize = 64 * 1024;

fn first_character(head: &[u8]) -> Option<u8> {
    head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// An input whose beginning was looked at.
type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Looks at the beginning of an input, piece by piece, until that is enough, and gives back an input that still has it.
fn peek<R: Read>(mut input: R, mut is_enough: impl FnMut(&[u8]) -> bool) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while head.len() < LONGEST_PEEK {
        let read = input.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..read]);
        if read == 0 || is_enough(&buffer[..read]) {
            break;
        }
    }
    Ok((head.clone(), Cursor::new(head).chain(input)))
}

/// SHA-256 of parts that are told apart.
#[derive(Default)]
struct Hash(Sha256);

impl Hash {
    fn of(whole: &[u8]) -> String {
        let mut hash = Self::default();
        hash.add(whole);
        hash.in_hex()
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(part);
    }

    fn in_hex(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}
