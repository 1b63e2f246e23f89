//! An append-only log of JSON lines with chained checksums, in segments. The format is in the README.

mod line;
mod log;
mod read;
mod resume;
mod room;
mod segment;
mod verify;

pub use line::Entry;
pub use log::{Journal, JournalSettings, OpenError};
pub use read::{Contents, Damage, Ending, ReadEntry};
pub use segment::{Segment, segments};
pub use verify::{SegmentReport, verify};
