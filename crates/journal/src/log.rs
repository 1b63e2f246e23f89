//! Appending: one thread writes whatever waits as one group, makes it durable, and then reports it.

use crate::line::{Chain, Entry, MOST_FRAME_BYTES};
use crate::resume::{close, resume};
use crate::room::create_with_room;
use crate::segment::Segment;
use jiff::Timestamp;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many batches may wait for the thread before [`Journal::append`] waits.
const MOST_WAITING: usize = 64;
/// How often the appender tries to reserve room while the disk has none.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(500);
/// The letters and digits of a writer's name.
const NAME: [char; 36] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w',
    'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
];

/// How a journal is written.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// The directory, which no other process uses.
    pub directory: PathBuf,
    /// When a segment is closed and the next one begun, in bytes. So many are reserved on the disk for the segment that is
    /// written and for the next one. A group that is larger has a segment for itself.
    pub segment_bytes: u64,
    /// When a segment is closed although it is smaller, counted from its first entry.
    pub segment_age: Duration,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the journal {} is in use by another process: give each its own directory", .0.display())]
    InUse(PathBuf),
    /// The directory cannot be used.
    #[error("the journal {} cannot be opened", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A journal that is open. Dropping it closes its segment.
#[derive(Debug)]
pub struct Journal {
    batches: Option<SyncSender<Batch>>,
    shared: Arc<Shared>,
    writer: String,
    thread: Option<JoinHandle<()>>,
    /// Holds the lock on the directory.
    _lock: File,
}

#[derive(Debug, Default)]
struct Shared {
    position: AtomicU64,
    has_room: AtomicBool,
}

struct Batch {
    entries: Vec<Entry>,
    durable: Box<dyn FnOnce() + Send>,
}

impl Journal {
    /// Opens the journal in a directory, which is created if it is missing, and continues it in a new segment. `failed` is called
    /// when an append fails: whether it is on the disk is not known then, no callback of it is called, and nothing is appended
    /// any more. It should end the process.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        settings: &JournalSettings,
        failed: impl FnOnce(io::Error) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let path = &settings.directory;
        let io_error = |source| OpenError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error)?;
        let mut own = OpenOptions::new();
        let lock =
            own.write(true).create(true).truncate(false).mode(0o600).open(path.join("lock")).map_err(io_error)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(path.clone()),
            TryLockError::Error(source) => io_error(source),
        })?;
        let shared = Arc::new(Shared::default());
        let mut appender = Appender::open(settings, Arc::clone(&shared)).map_err(io_error)?;
        appender.look_for_room();
        let writer = appender.writer.clone();
        let (batches, waiting) = sync_channel(MOST_WAITING);
        let thread = worker_threads::spawn("journal", move || {
            if let Err(error) = appender.run(&waiting) {
                appender.shared.has_room.store(false, Ordering::SeqCst);
                failed(error);
            }
        });
        Ok(Self { batches: Some(batches), shared, writer, thread: Some(thread), _lock: lock })
    }

    /// The name of this writer, which all its segments have.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// The number of the last entry that is durable; 0 before the first.
    pub fn position(&self) -> u64 {
        self.shared.position.load(Ordering::SeqCst)
    }

    /// Whether there is room for entries: the next segment's blocks are reserved on the disk.
    pub fn has_room(&self) -> bool {
        self.shared.has_room.load(Ordering::SeqCst)
    }

    /// Appends entries, and calls `durable` once they are on the disk, on the journal's thread: it must not wait. Waits only while
    /// many batches are in front.
    pub fn append(&self, entries: Vec<Entry>, durable: impl FnOnce() + Send + 'static) {
        if let Some(batches) = &self.batches {
            // The thread has ended only after an append failed: then nothing is reported.
            let _ = batches.send(Batch { entries, durable: Box::new(durable) });
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes the segments.
struct Appender {
    settings: JournalSettings,
    shared: Arc<Shared>,
    writer: String,
    /// For the durability of names.
    directory: File,
    chain: Chain,
    /// The number of the last entry.
    seq: u64,
    /// The number of the segment that is written, or of the last one.
    number: u64,
    segment: Option<Open>,
    /// The next segment's file, with its room.
    spare: Option<File>,
    /// What was found when room was last looked for.
    has_room: Option<bool>,
}

/// The segment that is written.
struct Open {
    segment: Segment,
    file: File,
    bytes: u64,
    since: Instant,
}

impl Appender {
    fn open(settings: &JournalSettings, shared: Arc<Shared>) -> io::Result<Self> {
        let directory = File::open(&settings.directory)?;
        let writer = writer_name(&settings.directory)?;
        let last = resume(&settings.directory, &writer)?;
        shared.position.store(last.seq, Ordering::SeqCst);
        directory.sync_all()?;
        Ok(Self {
            settings: settings.clone(),
            shared,
            writer,
            directory,
            chain: last.chain,
            seq: last.seq,
            number: last.number,
            segment: None,
            spare: None,
            has_room: None,
        })
    }

    fn run(&mut self, waiting: &Receiver<Batch>) -> io::Result<()> {
        loop {
            let first = match self.wakes_after() {
                Some(pause) => match waiting.recv_timeout(pause) {
                    Ok(batch) => batch,
                    Err(RecvTimeoutError::Timeout) => {
                        self.look_after_segment()?;
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return self.close(),
                },
                None => match waiting.recv() {
                    Ok(batch) => batch,
                    Err(_) => return self.close(),
                },
            };
            let mut batches = vec![first];
            batches.extend(waiting.try_iter().take(MOST_WAITING));
            self.write(&batches)?;
            self.shared.position.store(self.seq, Ordering::SeqCst);
            for batch in batches {
                (batch.durable)();
            }
            self.look_after_segment()?;
        }
    }

    /// When the thread has to wake although nothing is appended.
    fn wakes_after(&self) -> Option<Duration> {
        if self.spare.is_none() {
            return Some(LOOK_FOR_ROOM);
        }
        self.segment.as_ref().map(|open| self.settings.segment_age.saturating_sub(open.since.elapsed()))
    }

    fn look_after_segment(&mut self) -> io::Result<()> {
        if self.segment.as_ref().is_some_and(|open| open.since.elapsed() >= self.settings.segment_age) {
            self.close()?;
        }
        if self.spare.is_none() {
            self.look_for_room();
        }
        Ok(())
    }

    /// Reserves the next segment, if there is room.
    fn look_for_room(&mut self) {
        let directory = self.settings.directory.display();
        let reserved = create_with_room(&self.spare_path(), self.settings.segment_bytes);
        let has_room = reserved.is_ok();
        match &reserved {
            Ok(_) if self.has_room == Some(false) => tracing::info!(%directory, "journal has room again"),
            Err(error) if self.has_room != Some(false) => {
                tracing::error!(%error, %directory, "journal has no room for another segment");
            }
            _ => {}
        }
        self.spare = reserved.ok();
        self.has_room = Some(has_room);
        self.shared.has_room.store(has_room, Ordering::SeqCst);
    }

    fn spare_path(&self) -> PathBuf {
        self.settings.directory.join(format!("{}.spare", self.writer))
    }

    /// Writes batches as one group and makes it durable.
    fn write(&mut self, batches: &[Batch]) -> io::Result<()> {
        let count: usize = batches.iter().map(|batch| batch.entries.len()).sum();
        if count == 0 {
            return Ok(());
        }
        let bytes: usize = batches.iter().flat_map(|batch| &batch.entries).map(|entry| entry.data.len() + 160).sum();
        if let Some(open) = &self.segment
            && open.bytes + bytes as u64 + MOST_FRAME_BYTES > self.settings.segment_bytes
        {
            self.close()?;
        }
        let at = Timestamp::now().to_string();
        let mut text = Vec::with_capacity(bytes + 512);
        if self.segment.is_none() {
            self.begin()?;
            self.chain.push_header(&mut text, &self.writer, self.number, self.seq + 1, &at);
        }
        let last = self.seq + count as u64;
        for entry in batches.iter().flat_map(|batch| &batch.entries) {
            self.seq += 1;
            self.chain.push_entry(&mut text, self.seq, last, &at, entry);
        }
        self.put(&text)
    }

    /// Writes to the open segment and makes it durable.
    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        if let Some(open) = &mut self.segment {
            open.file.write_all(text)?;
            open.file.sync_data()?;
            open.bytes += text.len() as u64;
        }
        Ok(())
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<()> {
        let file = match self.spare.take() {
            Some(file) => file,
            None => create_with_room(&self.spare_path(), self.settings.segment_bytes)?,
        };
        self.number += 1;
        let segment = Segment::begun(&self.settings.directory, &self.writer, self.number);
        std::fs::rename(self.spare_path(), &segment.path)?;
        self.directory.sync_all()?;
        self.segment = Some(Open { segment, file, bytes: 0, since: Instant::now() });
        Ok(())
    }

    /// Closes the segment that is written, if there is one, and gives back what it does not need.
    fn close(&mut self) -> io::Result<()> {
        let Some(mut open) = self.segment.take() else { return Ok(()) };
        open.file.set_len(open.bytes)?;
        close(&mut open.file, &open.segment, &mut self.chain, self.seq)?;
        self.directory.sync_all()
    }
}

/// The name of the writer of a directory, which it gets when it is first used.
fn writer_name(directory: &Path) -> io::Result<String> {
    let path = directory.join("writer");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let name = nanoid::nanoid!(12, &NAME);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    writeln!(file, "{name}")?;
    file.sync_all()?;
    Ok(name)
}
