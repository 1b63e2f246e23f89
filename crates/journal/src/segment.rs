//! The files of a journal: one for each segment, named by its writer and its number. While it is written its name ends with
//! `.open`.

use std::io;
use std::path::{Path, PathBuf};

const CLOSED: &str = ".jsonl";
const OPEN: &str = ".jsonl.open";

/// A file of a journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The writer.
    pub writer: String,
    /// Its number among the segments of its writer, from 1.
    pub number: u64,
    /// Whether it is being written, or its writer ended without closing it.
    pub is_open: bool,
    /// The file.
    pub path: PathBuf,
}

impl Segment {
    /// A segment that is written in this directory.
    pub(crate) fn begun(directory: &Path, writer: &str, number: u64) -> Self {
        let path = directory.join(format!("{writer}-{number:010}{OPEN}"));
        Self { writer: writer.to_owned(), number, is_open: true, path }
    }

    /// The same segment once it is closed.
    pub(crate) fn closed(&self) -> Self {
        let path = self.path.with_file_name(format!("{}-{:010}{CLOSED}", self.writer, self.number));
        Self { is_open: false, path, ..self.clone() }
    }

    fn parse(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let is_open = name.ends_with(OPEN);
        let (writer, number) = name.strip_suffix(if is_open { OPEN } else { CLOSED })?.rsplit_once('-')?;
        let (writer, number) = (writer.to_owned(), number.parse().ok()?);
        Some(Self { writer, number, is_open, path })
    }
}

/// The segments in a directory, by writer and number. Other files are ignored.
///
/// # Errors
/// When the directory cannot be read.
pub fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory)? {
        found.extend(Segment::parse(file?.path()));
    }
    found.sort();
    Ok(found)
}
