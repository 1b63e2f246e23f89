//! What this test process logs at INFO and above. Other tests run in the same process, so a test looks for a name of its own.

use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A logged line.
#[derive(Clone)]
pub struct Line {
    pub level: Level,
    pub thread: ThreadId,
    /// Each field with its value, the message included.
    pub text: String,
    /// The value of the field `partitions`, or 0.
    pub partitions: usize,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// Starts to record what is logged.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Recording).unwrap());
}

/// The recorded lines that `wanted` accepts.
pub fn lines(wanted: impl Fn(&Line) -> bool) -> Vec<Line> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| wanted(line)).cloned().collect()
}

struct Recording;

impl Subscriber for Recording {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let (level, thread) = (*event.metadata().level(), thread::current().id());
        let mut line = Line { level, thread, text: String::new(), partitions: 0 };
        event.record(&mut line);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "partitions" {
            self.partitions = usize::try_from(value).unwrap();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.text, "{}={value:?} ", field.name()).unwrap();
    }
}
