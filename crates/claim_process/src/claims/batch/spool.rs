//! Results that their sender has not taken yet: some in memory, the rest in a temporary file of bounded size. Most senders
//! read nothing before they have sent everything, and would wait for ever if the service waited for them to read.

use super::error::BatchError;
use futures_util::Stream;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What is kept in memory before and behind the file, and what goes out in one piece.
const PIECE: usize = 64 * 1024;

/// Where results wait. Cheap to clone.
#[derive(Clone)]
pub struct ResultSpool(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Something came, or it is all there.
    news: Notify,
    /// Something was taken, or the reader is gone.
    room: Condvar,
    max_file_bytes: u64,
}

/// In the order in which it goes out: `first`, then what is in the file from `read_to`, then `last`.
#[derive(Default)]
struct Waiting {
    first: Vec<u8>,
    file: Option<Arc<File>>,
    read_to: u64,
    written_to: u64,
    last: Vec<u8>,
    /// How many pieces were taken.
    taken: u64,
    began: bool,
    end: Option<Result<(), BatchError>>,
    reader_gone: bool,
    given_up: bool,
}

/// Why a result could not be kept: the reader is gone or too slow, or there is no room on disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotKept {
    #[error("the sender is gone")]
    ReaderGone,
    #[error("the sender does not take its results")]
    ReaderStalls,
    #[error("the file of results cannot be written ({0})")]
    File(#[from] io::Error),
}

impl ResultSpool {
    pub(super) fn new(max_file_bytes: u64) -> Self {
        Self(Arc::new(Shared { waiting: Mutex::default(), news: Notify::new(), room: Condvar::new(), max_file_bytes }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line. Blocks while there is no room, and for at most `patience` while nothing is taken.
    pub(super) fn push(&self, line: &[u8], patience: Duration) -> Result<(), NotKept> {
        // What was read of a file takes up room until all of it was.
        let mut waiting = self.wait(patience, |waiting| waiting.written_to < self.0.max_file_bytes)?;
        waiting.began = true;
        waiting.add(line)?;
        drop(waiting);
        self.0.news.notify_one();
        Ok(())
    }

    /// Adds the last line, however much waits already: without it the sender would not know how it ended.
    pub(super) fn push_last(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if !waiting.reader_gone {
            waiting.began = true;
            waiting.last.extend_from_slice(line);
        }
        drop(waiting);
        self.0.news.notify_one();
    }

    /// Waits until everything was taken. What is not taken for as long as `patience` is given up, and its file with it; the
    /// sender finds the answer broken off.
    pub(super) fn wait_until_taken(&self, patience: Duration) {
        if let Err(NotKept::ReaderStalls) = self.wait(patience, Waiting::is_empty) {
            self.lock().give_up();
        }
    }

    /// Waits for something, and for at most `patience` while nothing is taken.
    fn wait(&self, patience: Duration, until: impl Fn(&Waiting) -> bool) -> Result<MutexGuard<'_, Waiting>, NotKept> {
        let mut waiting = self.lock();
        loop {
            if waiting.reader_gone {
                return Err(NotKept::ReaderGone);
            }
            if until(&waiting) {
                return Ok(waiting);
            }
            let taken = waiting.taken;
            let nothing_new = |waiting: &mut Waiting| !waiting.reader_gone && !until(waiting) && waiting.taken == taken;
            let (woken, waited) =
                self.0.room.wait_timeout_while(waiting, patience, nothing_new).unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return Err(NotKept::ReaderStalls);
            }
            waiting = woken;
        }
    }

    /// Ends the results, or tells why there are no more. An error before the first line is the whole answer.
    pub(super) fn end(&self, end: Result<(), BatchError>) {
        self.lock().end = Some(end);
        self.0.news.notify_one();
    }

    /// Waits for the first line, or for the end without one.
    pub async fn begin(&self) -> Result<(), BatchError> {
        loop {
            {
                let mut waiting = self.lock();
                match (&waiting.end, waiting.began) {
                    (_, true) | (Some(Ok(())), false) => return Ok(()),
                    (Some(Err(_)), false) => return waiting.end.take().unwrap_or(Ok(())),
                    (None, false) => {}
                }
            }
            self.0.news.notified().await;
        }
    }

    /// The lines as they come. Dropping it ends the reading.
    pub fn stream(self) -> impl Stream<Item = io::Result<Vec<u8>>> {
        let reader = Reader(self);
        futures_util::stream::unfold(reader, |reader| async move {
            let piece = reader.0.next_piece().await?;
            Some((piece, reader))
        })
    }

    async fn next_piece(&self) -> Option<io::Result<Vec<u8>>> {
        let piece = self.take_piece().await;
        self.lock().taken += 1;
        self.0.room.notify_one();
        piece
    }

    async fn take_piece(&self) -> Option<io::Result<Vec<u8>>> {
        loop {
            let in_file = {
                let mut waiting = self.lock();
                if waiting.given_up {
                    return Some(Err(io::Error::other("the results were not taken in time")));
                }
                if !waiting.first.is_empty() {
                    return Some(Ok(std::mem::take(&mut waiting.first)));
                }
                match &waiting.file {
                    Some(file) if waiting.read_to < waiting.written_to => {
                        Some((Arc::clone(file), waiting.read_to, waiting.written_to))
                    }
                    _ if !waiting.last.is_empty() => return Some(Ok(std::mem::take(&mut waiting.last))),
                    _ if waiting.end.is_some() => return None,
                    _ => None,
                }
            };
            let Some((file, from, to)) = in_file else {
                self.0.news.notified().await;
                continue;
            };
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; usize::try_from(to - from).map_or(PIECE, |left| left.min(PIECE))];
                file.read_exact_at(&mut piece, from).map(|()| piece)
            });
            let piece = match read.await {
                Ok(Ok(piece)) => piece,
                Ok(Err(error)) => return Some(Err(error)),
                Err(_) => return Some(Err(io::Error::other("the service stops"))),
            };
            self.lock().note_read(piece.len() as u64);
            return Some(Ok(piece));
        }
    }
}

impl Waiting {
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        let all_in_memory = self.read_to == self.written_to && self.last.is_empty();
        if all_in_memory && self.first.len() < PIECE {
            self.first.extend_from_slice(line);
            return Ok(());
        }
        self.last.extend_from_slice(line);
        if self.last.len() >= PIECE {
            let file = match &self.file {
                Some(file) => file,
                None => self.file.insert(Arc::new(tempfile::tempfile()?)),
            };
            file.write_all_at(&self.last, self.written_to)?;
            self.written_to += self.last.len() as u64;
            self.last.clear();
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.read_to == self.written_to && self.last.is_empty()
    }

    /// Frees what is kept. A reader that reads on gets an error.
    fn give_up(&mut self) {
        *self = Self { given_up: true, end: self.end.take(), ..Self::default() };
    }

    /// A file that was read to its end is written from its beginning again.
    fn note_read(&mut self, bytes: u64) {
        self.read_to += bytes;
        if self.read_to == self.written_to {
            (self.read_to, self.written_to) = (0, 0);
        }
    }
}

/// The reading end.
struct Reader(ResultSpool);

impl Drop for Reader {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        *waiting = Waiting { reader_gone: true, ..Waiting::default() };
        drop(waiting);
        self.0.0.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn lines(from: usize, to: usize) -> Vec<u8> {
        (from..to).flat_map(|n| format!("{n}\n").into_bytes()).collect()
    }

    #[tokio::test]
    async fn lines_come_out_in_order_whether_they_waited_in_memory_or_in_the_file() {
        let spool = ResultSpool::new(u64::MAX);
        let writer = spool.clone();
        for n in 0..50_000 {
            writer.push(format!("{n}\n").as_bytes(), PATIENCE).expect("kept");
        }
        assert!(writer.lock().written_to > 0, "the file was needed");
        let mut stream = Box::pin(spool.stream());
        let mut read = Vec::new();
        while read.len() < 100_000 {
            read.extend_from_slice(&stream.next().await.expect("more").expect("reads"));
        }
        for n in 50_000..60_000 {
            writer.push(format!("{n}\n").as_bytes(), PATIENCE).expect("kept");
        }
        writer.end(Ok(()));
        while let Some(piece) = stream.next().await {
            read.extend_from_slice(&piece.expect("reads"));
        }
        assert!(read == lines(0, 60_000), "every line once, in order");
    }

    #[tokio::test]
    async fn a_full_file_makes_the_writer_wait_and_a_reader_that_takes_nothing_ends_it() {
        let spool = ResultSpool::new(1);
        let full = (0..).find_map(|n| spool.push(&lines(n, n + 10_000), PATIENCE).err()).expect("it is full");
        assert!(matches!(full, NotKept::ReaderStalls));
        let writer = spool.clone();
        let mut stream = Box::pin(spool.stream());
        let waiting = std::thread::spawn(move || {
            let kept = writer.push(b"x\n", Duration::from_secs(60));
            writer.end(Ok(()));
            kept
        });
        while let Some(piece) = stream.next().await {
            piece.expect("reads");
        }
        waiting.join().expect("no panic").expect("there is room once it was read");
    }

    #[tokio::test]
    async fn the_file_never_holds_more_than_it_may_however_slowly_it_is_read() {
        const MOST: u64 = 1_000_000;
        let spool = ResultSpool::new(MOST);
        let writer = spool.clone();
        let writing = std::thread::spawn(move || {
            let line = [b'x'; 999];
            (0..5_000).for_each(|_| writer.push(&line, Duration::from_secs(60)).expect("kept"));
            writer.end(Ok(()));
            writer.wait_until_taken(Duration::from_secs(60));
        });
        let looking = spool.clone();
        let mut stream = Box::pin(spool.stream());
        let mut read = 0;
        while let Some(piece) = stream.next().await {
            read += piece.expect("reads").len();
            let written_to = looking.lock().written_to;
            assert!(written_to < MOST + 2 * PIECE as u64, "{written_to}");
        }
        writing.join().expect("no panic");
        assert_eq!(read, 5_000 * 999);
    }

    #[tokio::test]
    async fn what_is_not_taken_is_given_up_after_the_end() {
        let spool = ResultSpool::new(u64::MAX);
        for n in 0..10 {
            spool.push(&lines(n, n + 10_000), PATIENCE).expect("kept");
        }
        spool.end(Ok(()));
        let writer = spool.clone();
        let mut stream = Box::pin(spool.stream());
        stream.next().await.expect("a piece").expect("reads");
        writer.wait_until_taken(PATIENCE);
        assert!(writer.lock().file.is_none(), "it is gone");
        stream.next().await.expect("an end").expect_err("broken off");
    }

    #[tokio::test]
    async fn the_last_line_comes_out_however_much_waits() {
        let spool = ResultSpool::new(1);
        while spool.push(&lines(0, 10_000), PATIENCE).is_ok() {}
        spool.push_last(b"why\n");
        spool.end(Ok(()));
        let pieces: Vec<_> = spool.stream().map(|piece| piece.expect("reads")).collect().await;
        assert!(pieces.concat().ends_with(b"\n9999\nwhy\n"));
    }

    #[tokio::test]
    async fn the_writer_does_not_wait_for_a_reader_that_is_gone() {
        let spool = ResultSpool::new(1);
        let writer = spool.clone();
        drop(spool.stream());
        assert!(matches!(writer.push(b"x\n", Duration::from_secs(60)), Err(NotKept::ReaderGone)));
    }

    #[tokio::test]
    async fn a_problem_before_the_first_line_is_the_answer() {
        let spool = ResultSpool::new(1);
        spool.end(Err(BatchError::TooManyClaims { max_claims: 1 }));
        let error = spool.begin().await.expect_err("a problem");
        assert!(matches!(error, BatchError::TooManyClaims { max_claims: 1 }), "{error}");
    }
}
