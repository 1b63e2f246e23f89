//! Fetches that find no message and are held until there may be one, as a Kafka broker does. The in-memory cluster would answer
//! such a fetch only after its whole wait: either a message waits for that, or an idle client fetches all the time.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
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

    /// Notes that messages were stored.
    pub(crate) fn note(&self) {
        *self.times() += 1;
        self.changed.notify_all();
    }

    /// Wakes those who wait, so that they look whether their wait is over.
    pub(crate) fn wake(&self) {
        drop(self.times());
        self.changed.notify_all();
    }

    /// How often messages were stored.
    pub(crate) fn count(&self) -> u64 {
        *self.times()
    }

    /// Waits until messages were stored again or `is_over`, at most until `deadline`.
    fn wait(&self, count: u64, deadline: Instant, is_over: impl Fn() -> bool) {
        let within = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.times(), within, |times| *times == count && !is_over());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A fetch that was sent to the cluster without its wait.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) correlation_id: i32,
    pub(crate) deadline: Instant,
    /// The most bytes of a response without messages.
    pub(crate) empty_bytes: usize,
    /// How often messages were stored before it was sent.
    pub(crate) stored: u64,
    /// Its number among the requests of its connection.
    pub(crate) number: u64,
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
}

impl Fetch {
    /// Holds its response, which has no messages, until messages were stored since it was sent, its time is over, or another
    /// request followed it; `requests` counts those of its connection.
    ///
    /// Responses keep the order of their requests, so a consumer that looks up an offset behind a held fetch would otherwise wait
    /// as long as the fetch. The response is not replaced by one with the new messages: they may be in a partition that the
    /// consumer has only begun to read and will fetch next.
    pub(crate) fn hold(&self, stored: &Stored, requests: &AtomicU64) {
        stored.wait(self.stored, self.deadline, || requests.load(Ordering::SeqCst) != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_fetch_is_held_until_messages_are_stored_or_a_request_follows_or_its_time_is_over() {
        let stored = Stored::default();
        let mut requests = Requests::default();
        let deadline = Instant::now() + Duration::from_secs(3_600);
        let sent = Fetch { correlation_id: 7, deadline, empty_bytes: 100, stored: stored.count(), number: 1 };
        requests.sent_fetch(sent);
        requests.sent_produce(8);
        assert!(requests.answers_fetch(8).is_none());
        assert!(requests.answers_produce(8) && !requests.answers_produce(8) && !requests.answers_produce(7));
        let mut fetch = requests.answers_fetch(7).expect("it is known");
        assert!(requests.answers_fetch(7).is_none());
        let sent = AtomicU64::new(1);
        stored.note();
        fetch.hold(&stored, &sent);
        fetch.stored = stored.count();
        sent.store(2, Ordering::SeqCst);
        fetch.hold(&stored, &sent);
        sent.store(1, Ordering::SeqCst);
        fetch.deadline = Instant::now() + Duration::from_millis(20);
        fetch.hold(&stored, &sent);
        assert!(Instant::now() >= fetch.deadline, "neither messages nor requests ended its wait");
    }
}
