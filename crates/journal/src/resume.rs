//! Where a writer continues after it ended, however it ended: the segment that it did not close is closed.

use crate::line::Chain;
use crate::read::{Contents, Ending, Progress};
use crate::segment::{Segment, segments};
use jiff::Timestamp;
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Where a writer continues.
#[derive(Debug)]
pub(crate) struct Resumed {
    /// The number of its last segment; 0 before the first.
    pub number: u64,
    /// The number of its last entry; 0 before the first.
    pub seq: u64,
    pub chain: Chain,
}

/// Ends the text of a segment, and gives the file the name of one that is closed.
pub(crate) fn close(file: &mut File, segment: &Segment, chain: &mut Chain, seq: u64) -> io::Result<()> {
    let mut text = Vec::new();
    chain.push_end(&mut text, seq, &Timestamp::now().to_string());
    file.seek(SeekFrom::End(0))?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&segment.path, segment.closed().path)
}

/// Closes what a writer left open, and returns where it continues. A torn group is cut off and kept beside the segment: it was
/// never reported as durable. A damaged segment stays as it is.
pub(crate) fn resume(directory: &Path, writer: &str) -> io::Result<Resumed> {
    let own: Vec<Segment> = segments(directory)?.into_iter().filter(|segment| segment.writer == writer).collect();
    let number = own.last().map_or(0, |segment| segment.number);
    for segment in own.iter().rev() {
        let contents = Contents::read(segment)?;
        let Ok((progress, ending)) = contents.scan(&mut |_| Ok::<(), Infallible>(()));
        let whole = (progress.first + progress.entries).saturating_sub(1);
        if let Ending::Damaged(damage) = &ending {
            tracing::error!(%damage, "journal segment is damaged, a new one is begun; `journal verify` shows what is legible");
            if segment.is_open {
                std::fs::rename(&segment.path, segment.closed().path)?;
            }
            // No number is given twice, however many entries the damage hides.
            let hidden = contents.from(progress.offset).split(|byte| *byte == b'\n').count() as u64;
            return Ok(Resumed { number, seq: progress.seq + hidden, chain: Chain(progress.whole_crc) });
        }
        if segment.is_open {
            close_left_open(segment, &contents, &progress, &ending, whole)?;
        }
        // Before its header was written there is nothing in it, and the segment before it tells.
        if progress.offset > 0 {
            let last = Contents::read(&segment.closed())?;
            let Ok((progress, _)) = last.scan(&mut |_| Ok::<(), Infallible>(()));
            return Ok(Resumed { number, seq: whole, chain: Chain(progress.whole_crc) });
        }
    }
    Ok(Resumed { number, seq: 0, chain: Chain(0) })
}

fn close_left_open(
    segment: &Segment,
    contents: &Contents,
    progress: &Progress,
    ending: &Ending,
    last: u64,
) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(&segment.path)?;
    match ending {
        Ending::Torn(offset) => {
            let path = segment.path.display();
            let cut = contents.from(*offset);
            tracing::warn!(segment = %path, offset, bytes = cut.len(), "journal segment ends in a group that was not written whole, cut off");
            if cut.iter().any(|byte| *byte != 0) {
                std::fs::write(segment.path.with_extension("cut"), cut)?;
            }
            if *offset == 0 {
                return std::fs::remove_file(&segment.path);
            }
            file.set_len(*offset)?;
        }
        // Closed, but for its name.
        Ending::Closed => return std::fs::rename(&segment.path, segment.closed().path),
        Ending::Open | Ending::Damaged(_) => {}
    }
    close(&mut file, segment, &mut Chain(progress.whole_crc), last)
}
