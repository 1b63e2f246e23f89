//! What is noted about a connection: how long it waits for an answer, and whether it can still do work.
//!
//! Diesel reports the start and the end of each statement to its `Instrumentation`; here that sets and clears the deadline of
//! the statement, and marks a connection whose error is not about a row, so that the pool closes it. A session that can do no
//! work, such as one that stays read-only, would otherwise fail one caller after the other.

use crate::deadline::Deadline;
use crate::error::{Class, class};
use crate::{Connection, on_each_backend};
use diesel::connection::{Connection as _, Instrumentation, InstrumentationEvent};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after the time-out of the server a long statement still waits for its answer.
const AFTER_THE_SERVER: Duration = Duration::from_secs(1);

/// What is noted about a connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// `None` on SQLite, which waits for no server.
    deadline: Option<Arc<Deadline>>,
    /// How long a statement waits for an answer.
    within: Duration,
    /// How long the server may work on a statement of a report.
    pub(crate) report: Duration,
    /// The number of silences of the database when this connection was opened.
    silences: u64,
    is_unusable: bool,
    /// When it was handed back to the pool.
    returned_at: Option<Instant>,
}

impl Session {
    pub(crate) fn new(deadline: Option<Arc<Deadline>>, within: Duration, report: Duration, silences: u64) -> Self {
        Self { deadline, within, report, silences, is_unusable: false, returned_at: None }
    }

    /// Whether the pool may hand the connection out: no error of it was the database's trouble, and no connection of the same
    /// age was silent since.
    pub(crate) fn is_usable(&self, silences: u64) -> bool {
        !self.is_unusable && self.silences == silences
    }

    /// Notes that the connection is handed back to the pool.
    pub(crate) fn note_return(&mut self) {
        self.returned_at = Some(Instant::now());
    }

    /// Whether it was handed back less than so long ago.
    pub(crate) fn was_returned_within(&self, time: Duration) -> bool {
        self.returned_at.is_some_and(|returned_at| returned_at.elapsed() < time)
    }

    /// Ends what the connection waits for. Diesel does not report the end of a `load` that succeeds.
    pub(crate) fn clear(&mut self) {
        if let Some(deadline) = &self.deadline {
            self.is_unusable |= deadline.clear();
        }
    }

    pub(crate) fn mark_unusable(&mut self) {
        self.is_unusable = true;
    }
}

impl Instrumentation for Session {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => {
                if let Some(deadline) = &self.deadline {
                    deadline.set(self.within);
                }
            }
            InstrumentationEvent::FinishQuery { error, .. } => {
                self.clear();
                self.is_unusable |= error.is_some_and(|error| class(error) == Class::Trouble);
            }
            _ => {}
        }
    }
}

impl Connection {
    /// What is noted about this connection.
    pub(crate) fn session(&mut self) -> &mut Session {
        let instrumentation = on_each_backend!(self, |c| c.instrumentation());
        instrumentation.downcast_mut().expect("the manager gives each connection a session")
    }

    /// Runs `work`, on each of whose statements the server may work for so long.
    pub(crate) fn with_long_statements<T>(&mut self, server_limit: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        self.with_deadlines(server_limit + AFTER_THE_SERVER, work)
    }

    /// Runs `work`, each of whose statements waits for an answer for so long.
    pub(crate) fn with_deadlines<T>(&mut self, within: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        let usual = std::mem::replace(&mut self.session().within, within);
        let result = work(self);
        self.session().within = usual;
        result
    }
}
