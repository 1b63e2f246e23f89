//! Reading a segment: its entries in order, and how it ends.
//!
//! A group of entries is made durable before the next one is written, so a crash can spoil only the last group of a segment that
//! is not closed: there it is *torn*, and ends. Anything else that does not fit is *damage*.

use crate::Segment;
use crate::line::{EntryLine, Header, Line, parse_line, read_line};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

/// A segment in memory.
#[derive(Debug)]
pub struct Contents {
    segment: Segment,
    bytes: Vec<u8>,
}

/// An entry that was read.
#[derive(Debug, Clone, Copy)]
pub struct ReadEntry<'a> {
    /// Its number among the entries of its writer.
    pub seq: u64,
    /// When it was appended, RFC 3339.
    pub at: &'a str,
    /// The kind of record.
    pub kind: &'a str,
    /// The record, JSON.
    pub data: &'a str,
    /// The line, from 1.
    pub line: u64,
}

/// A segment that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} line {line}, byte {offset}: {reason}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// Where the line begins, in bytes.
    pub offset: u64,
    /// What does not fit.
    pub reason: &'static str,
}

/// How a segment ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was closed: nothing is missing.
    Closed,
    /// It ends after a whole group: its writer is running, or ended without closing it.
    Open,
    /// Its last group was not written to its end. No entry of it was acknowledged. Holds where it begins, in bytes.
    Torn(u64),
    /// It is damaged, and what follows cannot be trusted.
    Damaged(Damage),
}

/// What was read of a segment up to some line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// The checksum that the segment before ends with.
    pub previous: u32,
    /// The checksum of the last line.
    pub crc: u32,
    /// The number of the last entry; one less than the first entry's before it.
    pub seq: u64,
    /// The number of the first entry.
    pub first: u64,
    /// How many entries there are in whole groups.
    pub entries: u64,
    /// Where the next line begins.
    pub offset: u64,
    /// The end of the last whole group.
    pub whole: u64,
    /// The checksum of the last line of the last whole group.
    pub whole_crc: u32,
    /// The number of the last entry of the group that has begun and is not whole.
    pub group: Option<u64>,
}

impl Contents {
    /// Reads a segment into memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(segment: &Segment) -> io::Result<Self> {
        Ok(Self { segment: segment.clone(), bytes: std::fs::read(&segment.path)? })
    }

    /// The bytes from an offset on.
    pub(crate) fn from(&self, offset: u64) -> &[u8] {
        &self.bytes[usize::try_from(offset).unwrap_or(self.bytes.len())..]
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Calls `each` with the entries in order, but for those of a torn group, and returns how the segment ends. After damage no
    /// entry follows.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn for_each<E>(&self, mut each: impl FnMut(ReadEntry<'_>) -> Result<(), E>) -> Result<Ending, E> {
        Ok(self.scan(&mut each)?.1)
    }

    /// As [`Contents::for_each`]; also returns how far it came.
    pub(crate) fn scan<E>(
        &self,
        each: &mut impl FnMut(ReadEntry<'_>) -> Result<(), E>,
    ) -> Result<(Progress, Ending), E> {
        let mut reading = Reading { contents: self, line: 0, progress: None, group: Vec::new() };
        loop {
            let step = reading.next();
            match step {
                Step::Line => {}
                Step::Group => {
                    for entry in reading.group.drain(..) {
                        each(entry)?;
                    }
                }
                Step::End(ending) => return Ok((reading.reached(), ending)),
            }
        }
    }
}

enum Step {
    Line,
    /// A group is whole.
    Group,
    End(Ending),
}

struct Reading<'a> {
    contents: &'a Contents,
    /// How many lines were read.
    line: u64,
    /// `None` before the header.
    progress: Option<Progress>,
    /// The entries of the group that is being read.
    group: Vec<ReadEntry<'a>>,
}

impl<'a> Reading<'a> {
    fn reached(&self) -> Progress {
        self.progress.clone().unwrap_or_default()
    }

    fn next(&mut self) -> Step {
        let offset = self.reached().offset;
        let rest = self.contents.from(offset);
        if rest.is_empty() {
            return match &self.progress {
                Some(progress) if progress.whole == offset && self.contents.segment.is_open => Step::End(Ending::Open),
                _ => self.bad("the segment does not end here"),
            };
        }
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            return self.bad("the line has no end");
        };
        match read_line(&rest[..length], self.progress.as_ref().map(|progress| progress.crc)) {
            Ok((line, crc)) => match self.take(line, crc, offset + length as u64 + 1) {
                Ok(step) => step,
                Err(reason) => self.bad(reason),
            },
            Err(reason) => self.bad(reason),
        }
    }

    fn take(&mut self, line: Line<'a>, crc: u32, end: u64) -> Result<Step, &'static str> {
        let Some(progress) = &mut self.progress else {
            let Line::Header(Header { writer, segment, first, previous }) = line else {
                return Err("the segment does not begin with a header");
            };
            if (writer, segment) != (self.contents.segment.writer.as_str(), self.contents.segment.number) {
                return Err("the header is that of another segment");
            }
            let seq = first.saturating_sub(1);
            self.progress = Some(Progress {
                previous,
                crc,
                seq,
                first,
                entries: 0,
                offset: end,
                whole: end,
                whole_crc: crc,
                group: None,
            });
            self.line += 1;
            return Ok(Step::Line);
        };
        let step = match line {
            Line::Header(_) => return Err("there is a second header"),
            Line::End(last) => {
                if last != progress.seq || progress.whole != progress.offset {
                    return Err("the segment ends at another entry");
                }
                if end != self.contents.bytes.len() as u64 {
                    return Err("the segment has lines after its end");
                }
                (progress.whole, progress.whole_crc) = (end, crc);
                Step::End(Ending::Closed)
            }
            Line::Entry(EntryLine { seq, last, at, kind, data }) => {
                if seq != progress.seq + 1 || last < seq || progress.group.is_some_and(|group| group != last) {
                    return Err("the entry does not follow the one before");
                }
                self.group.push(ReadEntry { seq, at, kind, data: data.get(), line: self.line + 1 });
                progress.seq = seq;
                progress.group = (seq != last).then_some(last);
                if seq == last {
                    (progress.whole, progress.whole_crc) = (end, crc);
                    progress.entries += self.group.len() as u64;
                    Step::Group
                } else {
                    Step::Line
                }
            }
        };
        (progress.crc, progress.offset) = (crc, end);
        self.line += 1;
        Ok(step)
    }

    /// A line that does not fit: torn where only the group that was written last can be spoilt, otherwise damage.
    fn bad(&self, reason: &'static str) -> Step {
        let progress = self.reached();
        let is_torn =
            self.contents.segment.is_open && only_one_group(self.contents.from(progress.offset), progress.group);
        Step::End(if is_torn {
            Ending::Torn(progress.whole)
        } else {
            Ending::Damaged(Damage {
                path: self.contents.segment.path.clone(),
                line: self.line + 1,
                offset: progress.offset,
                reason,
            })
        })
    }
}

/// Whether what is legible from a spoilt line on is all of one group: of the one that had begun before it, if there
/// is one. Then that group was being written when the writer ended.
fn only_one_group(rest: &[u8], begun: Option<u64>) -> bool {
    let mut groups = BTreeSet::from_iter(begun);
    for line in rest.split(|byte| *byte == b'\n') {
        match parse_line(line) {
            Ok(Line::Entry(EntryLine { last, .. })) => drop(groups.insert(last)),
            Ok(Line::End(_)) => return false,
            Ok(Line::Header(_)) | Err(_) => {}
        }
    }
    groups.len() <= 1
}
