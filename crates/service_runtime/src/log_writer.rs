//! Writes log lines on a thread of its own, so that no other thread waits for standard output. The queue is bounded: where the
//! reader of the log is too slow, lines are dropped and counted.
//!
//! An error waits until it is written, because the process often ends after one: for a bounded time, and not while the reader of
//! the log stalls.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const MOST_WAITING: usize = 8_192;

/// How many bytes of lines are written at once, where so many wait.
const MOST_AT_ONCE: usize = 64 * 1024;

/// How long an error, or the end of the process, waits for the lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// How soon to look again for room in the queue.
const ROOM_PAUSE: Duration = Duration::from_millis(1);

enum Message {
    Line(Vec<u8>),
    /// Everything before it is to be written, and then answered.
    Flush(Sender<()>),
}

/// Where log lines go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogWriter {
    queue: SyncSender<Message>,
    /// Lines were not written in time, and none was since.
    stalls: Arc<AtomicBool>,
}

impl LogWriter {
    /// Starts the thread, which writes to `output`.
    pub fn start(output: impl Write + Send + 'static) -> Self {
        let (queue, messages) = sync_channel(MOST_WAITING);
        let stalls = Arc::<AtomicBool>::default();
        let stalled = Arc::clone(&stalls);
        worker_threads::spawn("log writer", move || write_all(&messages, output, &stalled));
        Self { queue, stalls }
    }

    /// Waits until all lines are written, for a bounded time.
    pub fn flush(&self) {
        let until = Instant::now() + PATIENCE;
        let (done, is_done) = channel();
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(unsent)) = self.queue.try_send(message) {
            if Instant::now() >= until {
                break;
            }
            std::thread::sleep(ROOM_PAUSE);
            message = unsent;
        }
        let left = until.saturating_duration_since(Instant::now());
        self.stalls.store(is_done.recv_timeout(left).is_err(), Ordering::Relaxed);
    }
}

/// Writes what comes, many lines at once where many wait. An output that fails cannot be reported anywhere.
fn write_all(messages: &Receiver<Message>, mut output: impl Write, stalls: &AtomicBool) {
    let mut lines = Vec::with_capacity(MOST_AT_ONCE);
    while let Ok(message) = messages.recv() {
        let mut next = Some(message);
        let mut flushed = None;
        while let Some(message) = next {
            match message {
                Message::Line(line) => lines.extend_from_slice(&line),
                Message::Flush(done) => flushed = Some(done),
            }
            let goes_on = flushed.is_none() && lines.len() < MOST_AT_ONCE;
            next = if goes_on { messages.try_recv().ok() } else { None };
        }
        let _ = output.write_all(&lines).and_then(|()| output.flush());
        stalls.store(false, Ordering::Relaxed);
        lines.clear();
        if let Some(done) = flushed {
            let _ = done.send(());
        }
    }
}

/// Writes one line.
#[derive(Debug)]
pub struct LineWriter<'a> {
    writer: &'a LogWriter,
    waits: bool,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.writer.queue.try_send(Message::Line(line.to_vec())).is_err() {
            metrics::counter!("log_lines_dropped_total").increment(1);
        }
        if self.waits && !self.writer.stalls.load(Ordering::Relaxed) {
            self.writer.flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { writer: self, waits: false }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> LineWriter<'a> {
        LineWriter { writer: self, waits: *meta.level() == Level::ERROR }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Standard output whose reader reads nothing until it is let go on.
    struct Stalled {
        goes_on: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.goes_on.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_delays_no_line_and_gets_those_for_which_there_was_room() {
        let (go_on, goes_on) = channel();
        let written = Arc::default();
        let writer = LogWriter::start(Stalled { goes_on, written: Arc::clone(&written) });
        for number in 0..4 * MOST_WAITING {
            writer.make_writer().write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        drop(go_on);
        writer.flush();
        writer.make_writer().write_all(b"last\n").unwrap();
        writer.flush();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert!((MOST_WAITING..4 * MOST_WAITING).contains(&lines.len()), "{}", lines.len());
        assert_eq!(lines.first(), Some(&"0"));
        assert_eq!(lines.last(), Some(&"last"), "what comes when there is room again is written");
    }
}
