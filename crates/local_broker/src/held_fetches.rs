//! Fetches that find no message and are held until there may be one, as a Kafka broker does. The in-memory cluster would answer
//! such a fetch only after its whole wait: either a message waits for that, or an idle client fetches all the time.

use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Counts what was stored in the cluster, and wakes those who wait for more.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    times: Mutex<u64>,
    changed: Condvar,
}

impl Stored {
    fn times(&self) -> MutexGuard<'_, u64> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that messages were stored, or that a connection ends.
    pub(crate) fn note(&self) {
        *self.times() += 1;
        self.changed.notify_all();
    }

    /// How often messages were stored.
    pub(crate) fn count(&self) -> u64 {
        *self.times()
    }

    /// Waits until messages were stored again, at most until `deadline`. `false` if none were.
    fn wait(&self, count: u64, deadline: Instant) -> bool {
        let within = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.times(), within, |times| *times == count);
        *waited.unwrap_or_else(PoisonError::into_inner).0 != count
    }
}

/// A fetch that was sent to the cluster without its wait.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) correlation_id: i32,
    pub(crate) request: Vec<u8>,
    pub(crate) deadline: Instant,
    /// The most bytes of a response without messages.
    pub(crate) empty_bytes: usize,
    /// How often messages were stored before it was sent.
    pub(crate) stored: u64,
}

/// The requests of a connection whose responses matter.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    fetches: VecDeque<Fetch>,
    produces: HashSet<i32>,
}

impl Requests {
    pub(crate) fn sent_fetch(&mut self, fetch: Fetch) {
        self.fetches.push_back(fetch);
    }

    pub(crate) fn sent_produce(&mut self, correlation_id: i32) {
        self.produces.insert(correlation_id);
    }

    /// Whether a response is that to a produce request.
    pub(crate) fn answers_produce(&mut self, correlation_id: i32) -> bool {
        self.produces.remove(&correlation_id)
    }

    /// The fetch that a response answers.
    pub(crate) fn answers_fetch(&mut self, correlation_id: i32) -> Option<Fetch> {
        let at = self.fetches.iter().position(|fetch| fetch.correlation_id == correlation_id)?;
        self.fetches.remove(at)
    }

    /// Puts a fetch back that is sent again.
    pub(crate) fn sent_again(&mut self, fetch: Fetch) {
        self.fetches.push_front(fetch);
    }
}

impl Fetch {
    /// Waits until messages may have been stored since it was sent; `false` if its time is over first.
    pub(crate) fn wait(&mut self, stored: &Stored) -> bool {
        let changed = stored.wait(self.stored, self.deadline);
        self.stored = stored.count();
        changed && Instant::now() < self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_fetch_waits_for_messages_that_are_stored_after_it_was_sent() {
        let stored = Stored::default();
        let mut requests = Requests::default();
        let deadline = Instant::now() + Duration::from_secs(3_600);
        let sent = Fetch { correlation_id: 7, request: Vec::new(), deadline, empty_bytes: 100, stored: stored.count() };
        requests.sent_fetch(sent);
        requests.sent_produce(8);
        assert!(requests.answers_fetch(8).is_none());
        assert!(requests.answers_produce(8) && !requests.answers_produce(8) && !requests.answers_produce(7));
        stored.note();
        let mut fetch = requests.answers_fetch(7).expect("it is known");
        assert!(requests.answers_fetch(7).is_none());
        assert!(fetch.wait(&stored));
        fetch.deadline = Instant::now();
        assert!(!fetch.wait(&stored), "none were stored since");
    }
}
