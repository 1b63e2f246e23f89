//! Many claims, read one after another and handed on as soon as each is whole: CSV, a JSON array, or a JSON value a line.
//!
//! Whatever the size of what is sent, no more than one claim is in memory. Reading stops where the rest cannot be told
//! apart any more; what was whole before that stands.

mod claim;
mod csv_rows;
mod hash;
mod json_array;
mod json_lines;
mod peek;
mod refusal;
mod row_groups;
mod row_key;

use flate2::read::MultiGzDecoder;
use peek::peek;
use std::io::{BufReader, Read};

pub use claim::{BatchClaim, BatchLimits, Ended, Grouping, SourceLocation};
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

fn first_character(head: &[u8]) -> Option<u8> {
    head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).iter().copied().find(|byte| !byte.is_ascii_whitespace())
}
