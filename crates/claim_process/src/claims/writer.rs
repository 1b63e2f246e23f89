//! The bounded queue in front of the database and the writer that empties it: group commit.
//!
//! The writer takes whatever waits, up to a bound and without waiting for more, and stores it in one transaction, so the
//! cost of the commit is shared and no request blocks the event loop.

use super::store::{self, Times};
use super::submission::{Submission, Submitted};
use crate::settings::{IngestSettings, WatchdogSettings};
use dual_db::{Error, TrustedClock};
use event_bus::Relay;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use worker_threads::{Backoff, Worker};

/// Between the attempts to store a group while the database is not available.
const WHILE_UNAVAILABLE: Backoff = Backoff::from_millis(100, 800);

/// How many claims of a group may fail one after the other, each alone, before the database is thought to fail them all.
const MOST_FAILED_ALONE: usize = 3;

/// Why a claim was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// Too many claims wait already.
    #[error("too many claims are waiting to be stored")]
    QueueFull,
    /// The database is not available, or did not answer in time. The claim may be stored or not; its sender finds out by
    /// sending the request again with the same `Idempotency-Key`.
    #[error("the database is not available")]
    Unavailable,
    /// The database refuses the claim; the log has the reason.
    #[error("the claim could not be stored")]
    Refused,
}

/// The way to the writer. Cheap to clone; the writer ends when all clones are gone.
#[derive(Debug, Clone)]
pub struct IngestQueue {
    sender: mpsc::Sender<Waiting>,
    answer_timeout: Duration,
    worker: Worker,
}

#[derive(Debug)]
struct Waiting {
    submission: Submission,
    answer: oneshot::Sender<Result<Submitted, NotStored>>,
    /// Its permit among the claims of batches, which is free once it is stored.
    permit: Option<OwnedSemaphorePermit>,
}

impl IngestQueue {
    /// Where the writer reports whether it stores claims. It is ready while there are none.
    pub fn worker(&self) -> Worker {
        self.worker.clone()
    }

    /// Hands a claim to the writer and waits until it is stored and its event published.
    ///
    /// # Errors
    /// [`NotStored`].
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, NotStored> {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send(Waiting { submission, answer, permit: None }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotStored::QueueFull,
            mpsc::error::TrySendError::Closed(_) => NotStored::Unavailable,
        })?;
        PendingResult { answered, within: self.answer_timeout }.get().await
    }

    /// Hands a claim to the writer, waits until there is room for it, and returns without waiting for more. Its `permit` is
    /// one of those that claims of batches have, fewer than the queue: single claims find room beside them.
    ///
    /// # Errors
    /// [`NotStored::Unavailable`] when there was no room within the time of an answer.
    pub async fn submit_one_of_many(
        &self,
        submission: Submission,
        permit: OwnedSemaphorePermit,
    ) -> Result<PendingResult, NotStored> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { submission, answer, permit: Some(permit) };
        let sent = tokio::time::timeout(self.answer_timeout, self.sender.send(waiting)).await;
        match sent {
            Ok(Ok(())) => Ok(PendingResult { answered, within: self.answer_timeout }),
            Ok(Err(_)) | Err(_) => Err(NotStored::Unavailable),
        }
    }
}

/// The result of a claim that the writer has not stored yet.
#[derive(Debug)]
pub struct PendingResult {
    answered: oneshot::Receiver<Result<Submitted, NotStored>>,
    within: Duration,
}

impl PendingResult {
    /// Waits for it, for a bounded time.
    ///
    /// # Errors
    /// [`NotStored`].
    pub async fn get(self) -> Result<Submitted, NotStored> {
        match tokio::time::timeout(self.within, self.answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(NotStored::Unavailable),
        }
    }
}

/// Starts the writer.
pub fn start(
    relay: Arc<Relay>,
    ingest: &IngestSettings,
    watchdog: &WatchdogSettings,
    clock: TrustedClock,
    keys_kept_us: i64,
) -> (IngestQueue, JoinHandle<()>) {
    let (sender, mut queue) = mpsc::channel(ingest.max_queued_claims);
    let most = ingest.max_group_claims;
    let answer_timeout = Duration::from_millis(ingest.answer_timeout_ms);
    let worker = Worker::idle();
    let writer = Writer {
        relay,
        max_attempts: ingest.max_attempts,
        answer_timeout,
        due_after_us: watchdog.first_pause_us(),
        worker: worker.clone(),
        clock,
        keys_kept_us,
    };
    let thread = worker_threads::spawn("ingest writer", move || {
        let mut group = Vec::with_capacity(most);
        while queue.blocking_recv_many(&mut group, most) > 0 {
            metrics::histogram!("ingest_group_claims").record(u32::try_from(group.len()).unwrap_or(u32::MAX));
            writer.store_and_answer(std::mem::take(&mut group));
        }
    });
    let queue = IngestQueue { sender, answer_timeout, worker };
    (queue, thread)
}

struct Writer {
    relay: Arc<Relay>,
    max_attempts: u32,
    /// How long senders wait: no longer is a group tried.
    answer_timeout: Duration,
    due_after_us: i64,
    worker: Worker,
    clock: TrustedClock,
    keys_kept_us: i64,
}

impl Writer {
    fn store_and_answer(&self, mut group: Vec<Waiting>) {
        // A sender that was answered 503 repeats its request. Storing the claims of a long outage first would let those wait.
        group.retain(|waiting| !waiting.answer.is_closed());
        let (submissions, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.submission, (waiting.answer, waiting.permit))).unzip();
        if submissions.is_empty() {
            return;
        }
        let until = Instant::now() + self.answer_timeout;
        let results = match self.store(&submissions, self.max_attempts, until) {
            Ok(results) => results.into_iter().map(Ok).collect(),
            // One claim must not fail its neighbours.
            Err(Error::Query(_)) if submissions.len() > 1 => self.store_alone(&submissions, self.max_attempts, until),
            Err(Error::Failed(_)) if submissions.len() > 1 => self.store_alone(&submissions, 1, until),
            Err(error) => vec![Err(not_stored(&error)); submissions.len()],
        };
        for ((answer, _permit), result) in answers.into_iter().zip(results) {
            // A sender that is gone does not need its answer.
            let _ = answer.send(result);
        }
    }

    fn times(&self, now_us: i64) -> Times {
        let keys_created_at_us = self.clock.creation_time_us(now_us, self.keys_kept_us);
        Times { keys_created_at_us, ..Times::at(now_us, self.due_after_us) }
    }

    /// Stores each claim of a group that failed in a transaction of its own.
    fn store_alone(
        &self,
        submissions: &[Submission],
        max_attempts: u32,
        until: Instant,
    ) -> Vec<Result<Submitted, NotStored>> {
        let mut failed_in_a_row = 0;
        let store = |one| {
            if failed_in_a_row >= MOST_FAILED_ALONE || Instant::now() >= until {
                return Err(NotStored::Unavailable);
            }
            let result = self.store(one, max_attempts, until);
            failed_in_a_row = if result.as_ref().is_err_and(Error::is_trouble) { failed_in_a_row + 1 } else { 0 };
            let mut results = result.map_err(|error| not_stored(&error))?;
            results.pop().ok_or(NotStored::Refused)
        };
        submissions.chunks(1).map(store).collect()
    }

    /// Commits a group with its events. A failed COMMIT may have happened, which is why the same submissions can be tried
    /// again.
    fn store(&self, submissions: &[Submission], max_attempts: u32, until: Instant) -> dual_db::Result<Vec<Submitted>> {
        let mut attempt = 1;
        self.worker.working("the database to store claims");
        let mut at_once = self.relay.commits_statements();
        loop {
            let result = if std::mem::take(&mut at_once) {
                match store::store_at_once(&self.relay, submissions, |now_us| self.times(now_us)) {
                    // Something of the group is there already, or a row is refused: the transaction finds out which.
                    Err(error) if !error.is_trouble() => continue,
                    result => result,
                }
            } else {
                self.relay.commit(|connection, publications| {
                    let group = store::store(connection, submissions, self.times(publications.now_us()))?;
                    publications.publish_rebuildable(group.events);
                    Ok(group.results)
                })
            };
            let error = match result {
                Ok(results) => {
                    self.worker.succeeded();
                    return Ok(results);
                }
                Err(error) => error,
            };
            let pause = WHILE_UNAVAILABLE.pause(attempt);
            if !error.is_trouble() || attempt >= max_attempts || Instant::now() + pause >= until {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    claims = submissions.len(),
                    "claims could not be stored"
                );
                if error.is_refusal() {
                    self.worker.rests();
                } else {
                    self.worker.failed_on_demand("the database did not store the last claims");
                }
                return Err(error);
            }
            std::thread::sleep(pause);
            attempt += 1;
        }
    }
}

fn not_stored(error: &Error) -> NotStored {
    match error {
        Error::Query(_) => NotStored::Refused,
        Error::Unavailable(_) | Error::Failed(_) | Error::Conflict => NotStored::Unavailable,
    }
}
