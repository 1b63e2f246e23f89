//! Verifying the segments of a directory: each by itself, and each against the one before it.

use crate::{Contents, Damage, Ending, Segment, segments};
use std::convert::Infallible;
use std::io;
use std::path::Path;

/// What is in a segment.
#[derive(Debug)]
pub struct SegmentReport {
    /// The segment.
    pub segment: Segment,
    /// The number of its first entry; that of the next one if it has none.
    pub first: u64,
    /// How many entries it has, up to damage.
    pub entries: u64,
    /// Its length.
    pub bytes: u64,
    /// How it ends.
    pub ending: Ending,
}

impl SegmentReport {
    /// The number of its last entry; one less than `first` if it has none.
    pub fn last(&self) -> u64 {
        (self.first + self.entries).saturating_sub(1)
    }
}

/// Reads all segments of a directory, by writer and number.
///
/// A segment that does not continue the one before it, which is there, is damaged in its first line. A segment other than the
/// last of its writer may be torn: a writer that ended without closing a segment begins another.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(directory: &Path) -> io::Result<Vec<SegmentReport>> {
    let mut reports: Vec<SegmentReport> = Vec::new();
    let mut before: Option<(Segment, u32)> = None;
    for segment in segments(directory)? {
        let contents = Contents::read(&segment)?;
        let Ok((progress, mut ending)) = contents.scan(&mut |_| Ok::<(), Infallible>(()));
        if let Some((earlier, crc)) = &before
            && (&earlier.writer, earlier.number + 1) == (&segment.writer, segment.number)
            && progress.offset > 0
            && progress.previous != *crc
            && !matches!(ending, Ending::Damaged(_))
        {
            let reason = "the segment does not continue the one before it";
            ending = Ending::Damaged(Damage { path: segment.path.clone(), line: 1, offset: 0, reason });
        }
        if progress.offset > 0 {
            before = Some((segment.clone(), progress.whole_crc));
        }
        reports.push(SegmentReport {
            segment,
            first: progress.first,
            entries: progress.entries,
            bytes: contents.len(),
            ending,
        });
    }
    Ok(reports)
}
