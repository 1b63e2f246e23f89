//! What a worker reports of its work, so that a health check can decide whether the work goes on.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The reports of one worker. Cheap to clone; the clones share the reports. A report costs one uncontended lock.
#[derive(Debug, Clone)]
pub struct Worker(Arc<Mutex<Reports>>);

#[derive(Debug)]
struct Reports {
    waits_for: Option<(Cow<'static, str>, Instant)>,
    failure: Option<Failure>,
    last_success: Option<Instant>,
}

#[derive(Debug)]
struct Failure {
    reason: String,
    at: Instant,
    /// Whether it ends by itself, because the worker has no work by which it could report a success.
    passes: bool,
}

/// Whether a worker does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerState {
    /// It does, or has nothing to do.
    Ready,
    /// It does not, for this reason.
    Failed(String),
    /// It has reported nothing for longer than its bound.
    NoNews {
        /// How long it has waited, in seconds.
        seconds: u64,
        /// What it waits for.
        waits_for: Cow<'static, str>,
    },
}

impl WorkerState {
    /// Whether it is another state, and not the same with a longer wait.
    pub fn differs_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NoNews { waits_for, .. }, Self::NoNews { waits_for: others, .. }) => waits_for != others,
            _ => self != other,
        }
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Failed(reason) => f.write_str(reason),
            Self::NoNews { seconds, waits_for } => write!(f, "no news for {seconds} s (it waits for {waits_for})"),
        }
    }
}

impl Worker {
    /// A worker that is not ready until it reports its first success.
    pub fn starting() -> Self {
        let failure = Failure { reason: "not reached yet".to_owned(), at: Instant::now(), passes: false };
        Self::with(Some(failure))
    }

    /// A worker that is ready while it has nothing to do.
    pub fn idle() -> Self {
        Self::with(None)
    }

    fn with(failure: Option<Failure>) -> Self {
        Self(Arc::new(Mutex::new(Reports { waits_for: None, failure, last_success: None })))
    }

    /// Reports that it waits for `what`, as in "it waits for the database". The wait began with the first of consecutive
    /// reports of the same.
    pub fn working(&self, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        let mut reports = self.reports();
        if reports.waits_for.as_ref().is_none_or(|(waits_for, _)| *waits_for != what) {
            reports.waits_for = Some((what, Instant::now()));
        }
    }

    /// Reports that its work was done; it waits for nothing.
    pub fn succeeded(&self) {
        let mut reports = self.reports();
        reports.waits_for = None;
        reports.failure = None;
        reports.last_success = Some(Instant::now());
    }

    /// Reports that its work failed, which holds until its next success.
    pub fn failed(&self, reason: impl Into<String>) {
        self.fail(reason.into(), false);
    }

    /// Reports that its work failed, for a worker that works on demand: without more work, the failure ends after the bound.
    /// Otherwise a service that gets no requests because it is not ready would never be ready again.
    pub fn failed_on_demand(&self, reason: impl Into<String>) {
        self.fail(reason.into(), true);
    }

    fn fail(&self, reason: String, passes: bool) {
        let mut reports = self.reports();
        reports.waits_for = None;
        reports.failure = Some(Failure { reason, at: Instant::now(), passes });
    }

    /// Reports that it has nothing to do, which is no success.
    pub fn rests(&self) {
        self.reports().waits_for = None;
    }

    /// Whether its last work failed.
    pub fn has_failed(&self) -> bool {
        self.reports().failure.is_some()
    }

    /// Its state now. It may wait at most `bound` for something.
    pub fn state(&self, bound: Duration) -> WorkerState {
        self.state_at(bound, Instant::now())
    }

    fn state_at(&self, bound: Duration, now: Instant) -> WorkerState {
        let reports = self.reports();
        if let Some((waits_for, since)) = &reports.waits_for {
            let waited = now.saturating_duration_since(*since);
            if waited > bound {
                return WorkerState::NoNews { seconds: waited.as_secs(), waits_for: waits_for.clone() };
            }
        }
        match &reports.failure {
            Some(Failure { at, passes: true, .. })
                if reports.waits_for.is_none() && now.saturating_duration_since(*at) > bound =>
            {
                WorkerState::Ready
            }
            Some(Failure { reason, .. }) => WorkerState::Failed(reason.clone()),
            None => WorkerState::Ready,
        }
    }

    /// The time since its last success, if there was one.
    pub fn since_last_success(&self) -> Option<Duration> {
        self.reports().last_success.map(|at| at.elapsed())
    }

    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(6);

    fn after(worker: &Worker, seconds: u64) -> WorkerState {
        worker.state_at(BOUND, Instant::now() + Duration::from_secs(seconds))
    }

    #[test]
    fn a_worker_that_waits_longer_than_its_bound_is_not_ready_and_says_for_what() {
        let worker = Worker::idle();
        assert_eq!(after(&worker, 3_600), WorkerState::Ready, "it has nothing to do");
        worker.working("the database");
        worker.working("the database");
        assert_eq!(after(&worker, 5), WorkerState::Ready);
        let state = after(&worker, 9);
        assert_eq!(state.to_string(), "no news for 9 s (it waits for the database)");
        assert!(!state.differs_from(&after(&worker, 10)) && state.differs_from(&WorkerState::Ready));
        worker.succeeded();
        assert_eq!(after(&worker, 3_600), WorkerState::Ready);
        worker.working("Kafka");
        worker.rests();
        assert_eq!(after(&worker, 3_600), WorkerState::Ready);
    }

    #[test]
    fn a_failure_holds_until_a_success_and_for_work_on_demand_until_the_bound() {
        let worker = Worker::starting();
        assert_eq!(after(&worker, 3_600).to_string(), "not reached yet");
        assert!(worker.since_last_success().is_none());
        worker.succeeded();
        assert_eq!(after(&worker, 0), WorkerState::Ready);
        assert!(worker.since_last_success().is_some());
        worker.failed("refused");
        worker.working("another try");
        assert_eq!(after(&worker, 1).to_string(), "refused");
        assert_eq!(after(&worker, 9).to_string(), "no news for 9 s (it waits for another try)");
        worker.failed_on_demand("refused");
        assert_eq!(after(&worker, 5).to_string(), "refused");
        assert_eq!(after(&worker, 7), WorkerState::Ready);
    }
}
