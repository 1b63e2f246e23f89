//! One line of a segment: its text, and the checksum that chains it to the line before.
//!
//! `{"crc":"1a2b3c4d","seq":7,…}`: the checksum is CRC32C over the eight hexadecimal digits of the line before and over what
//! follows `{"crc":"1a2b3c4d",` on the line, without its line break.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The version of the format, which the first line of each segment has.
pub(crate) const FORMAT: u64 = 1;

/// `{"crc":"`, eight digits, `",`.
const CHECKSUM_BYTES: usize = BEFORE_CRC.len() + 8 + AFTER_CRC.len();
const BEFORE_CRC: &[u8] = b"{\"crc\":\"";
const AFTER_CRC: &[u8] = b"\",";

/// What is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What kind of record it is. Letters, digits, dots and underscores.
    pub kind: &'static str,
    /// The record: JSON on one line.
    pub data: String,
}

/// The fields of any line. Which are there depends on what the line is.
#[derive(Deserialize)]
struct Fields<'a> {
    journal: Option<u64>,
    writer: Option<&'a str>,
    segment: Option<u64>,
    first: Option<u64>,
    previous: Option<&'a str>,
    seq: Option<u64>,
    last: Option<u64>,
    at: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    end: Option<u64>,
}

/// A line whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line<'a> {
    /// The first line of a segment.
    Header(Header<'a>),
    /// An entry.
    Entry(EntryLine<'a>),
    /// The last line of a segment that was closed: the number of its last entry.
    End(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub writer: &'a str,
    pub segment: u64,
    /// The number of the segment's first entry.
    pub first: u64,
    /// The checksum of the last line of the segment before.
    pub previous: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryLine<'a> {
    pub seq: u64,
    /// The number of the last entry that was made durable together with this one.
    pub last: u64,
    pub at: &'a str,
    pub kind: &'a str,
    pub data: &'a RawValue,
}

/// Writes lines one behind the other, each chained to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain(pub u32);

impl Chain {
    /// Appends a line to `buffer`. `write` gives what follows the checksum, without the line break.
    fn push(&mut self, buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = buffer.len();
        buffer.extend_from_slice(BEFORE_CRC);
        buffer.extend_from_slice(b"00000000");
        buffer.extend_from_slice(AFTER_CRC);
        write(buffer);
        let rest = start + CHECKSUM_BYTES;
        debug_assert!(!buffer[rest..].contains(&b'\n'), "an entry is one line");
        self.0 = checksum(self.0, &buffer[rest..]);
        let digits = start + BEFORE_CRC.len();
        buffer[digits..digits + 8].copy_from_slice(hex(self.0).as_bytes());
        buffer.push(b'\n');
    }

    pub(crate) fn push_header(&mut self, buffer: &mut Vec<u8>, writer: &str, segment: u64, first: u64, at: &str) {
        let previous = hex(self.0);
        self.push(buffer, |buffer| {
            let line = format!(
                r#""journal":{FORMAT},"writer":"{writer}","segment":{segment},"first":{first},"previous":"{previous}","at":"{at}"}}"#
            );
            buffer.extend_from_slice(line.as_bytes());
        });
    }

    pub(crate) fn push_entry(&mut self, buffer: &mut Vec<u8>, seq: u64, last: u64, at: &str, entry: &Entry) {
        self.push(buffer, |buffer| {
            let Entry { kind, data } = entry;
            let head = format!(r#""seq":{seq},"last":{last},"at":"{at}","type":"{kind}","data":"#);
            buffer.extend_from_slice(head.as_bytes());
            buffer.extend_from_slice(data.as_bytes());
            buffer.push(b'}');
        });
    }

    pub(crate) fn push_end(&mut self, buffer: &mut Vec<u8>, last: u64, at: &str) {
        self.push(buffer, |buffer| buffer.extend_from_slice(format!(r#""end":{last},"at":"{at}"}}"#).as_bytes()));
    }
}

/// The most bytes of the lines that open and close a segment.
pub(crate) const MOST_FRAME_BYTES: u64 = 512;

fn checksum(previous: u32, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(hex(previous).as_bytes()), rest)
}

fn hex(crc: u32) -> String {
    format!("{crc:08x}")
}

/// The checksum that a line states, right or wrong, and what follows it.
fn stated_checksum(line: &[u8]) -> Option<(u32, &[u8])> {
    let (before, rest) = line.split_at_checked(CHECKSUM_BYTES)?;
    let digits = before.strip_prefix(BEFORE_CRC)?.strip_suffix(AFTER_CRC)?;
    Some((parse_hex(std::str::from_utf8(digits).ok()?)?, rest))
}

fn parse_hex(digits: &str) -> Option<u32> {
    let is_hex = digits.len() == 8 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Reads a line, without its line break, behind a line with the checksum `previous`; a header is behind none of its segment.
/// Returns also the line's own checksum.
///
/// # Errors
/// Why it does not fit there.
pub(crate) fn read_line(line: &[u8], previous: Option<u32>) -> Result<(Line<'_>, u32), &'static str> {
    let (stated, rest) = stated_checksum(line).ok_or("the line does not begin with a checksum")?;
    let parsed = parse_line(line);
    let previous = match (previous, &parsed) {
        (Some(previous), _) => previous,
        (None, Ok(Line::Header(header))) => header.previous,
        (None, Ok(_)) => return Err("the segment does not begin with a header"),
        (None, Err(reason)) => return Err(reason),
    };
    if checksum(previous, rest) != stated {
        return Err("the checksum is wrong");
    }
    Ok((parsed?, stated))
}

/// Reads a line and does not compare its checksum.
///
/// # Errors
/// Why it is not a line of the journal.
pub(crate) fn parse_line(line: &[u8]) -> Result<Line<'_>, &'static str> {
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|_| "the line is not JSON")?;
    Ok(match fields {
        Fields { journal: Some(version), .. } if version != FORMAT => {
            return Err("the format has a version that this program does not know");
        }
        Fields {
            writer: Some(writer), segment: Some(segment), first: Some(first), previous: Some(previous), ..
        } => {
            let previous = parse_hex(previous).ok_or("the header names no checksum before it")?;
            Line::Header(Header { writer, segment, first, previous })
        }
        Fields { seq: Some(seq), last: Some(last), at: Some(at), kind: Some(kind), data: Some(data), .. } => {
            Line::Entry(EntryLine { seq, last, at, kind, data })
        }
        Fields { end: Some(last), .. } => Line::End(last),
        _ => return Err("the line has not the fields of an entry"),
    })
}
