//! The counting semaphore under which gateway calls are made. Its limit follows what the controller of
//! [`concurrency`](crate::domain::concurrency) decides.

use crate::domain::concurrency::{Controller, Decision, Ended, Limits, Load, Sign};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a pause is slept at most before the limiter looks whether an answer has ended it.
const NAP: Duration = Duration::from_millis(50);

/// The semaphore. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Limiter {
    semaphore: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
    clock: Clock,
}

/// What it is like at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// How many calls may be under way.
    pub limit: usize,
    /// Between what the limit moves.
    pub limits: Limits,
    /// Calls under way, and calls that wait for a permit.
    pub load: Load,
    /// For how long none is made, because the last ones were lost, in microseconds.
    pub pause_left_us: i64,
    /// The latency of a call with nothing queueing in the gateway, as far as it is known, in microseconds.
    pub baseline_us: Option<i64>,
    /// The last decisions, the latest first; their times are microseconds since 1970 (UTC).
    pub decisions: Vec<Decision>,
}

/// The permit to make one call. Its holder reports how the call ended; dropped without a report, it says nothing of the load.
#[derive(Debug)]
pub struct Permit {
    limiter: Limiter,
    permit: Option<OwnedSemaphorePermit>,
    began_us: i64,
    sign: Sign,
    tries: u32,
}

/// Counts a call as waiting for as long as it does.
struct Waiting<'a>(&'a Limiter);

#[derive(Debug)]
struct State {
    controller: Controller,
    /// The semaphore's permits, free or taken. After a decrease there may be more than the limit until running calls end,
    /// whose permits are then not given back.
    permits: usize,
    load: Load,
}

/// Microseconds since 1970 (UTC) that never run backwards.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began: Instant,
    began_us: i64,
}

impl Limiter {
    /// A semaphore between these limits.
    pub fn new(limits: Limits) -> Self {
        let clock = Clock::start();
        let controller = Controller::new(limits, clock.now_us());
        let permits = controller.limit();
        let state = State { controller, permits, load: Load::default() };
        Self { semaphore: Arc::new(Semaphore::new(permits)), state: Arc::new(Mutex::new(state)), clock }
    }

    /// Waits for a permit; first come, first served, and after a pause where calls are lost. None only when the semaphore is
    /// closed, which it never is.
    pub async fn permit(&self) -> Option<Permit> {
        // One is free only where no call waits for it.
        let free = Arc::clone(&self.semaphore).try_acquire_owned().ok();
        if free.is_some()
            && let Ok(began_us) = self.begin()
        {
            return Some(self.permitted(free, began_us));
        }
        self.change(|state, _| state.load.waiting += 1);
        let waiting = Waiting(self);
        let permit = match free {
            Some(permit) => permit,
            None => Arc::clone(&self.semaphore).acquire_owned().await.ok()?,
        };
        // With the permit: the others wait behind. In short naps, for another call's answer may end it.
        let began_us = loop {
            match self.begin() {
                Ok(began_us) => break began_us,
                Err(pause) => tokio::time::sleep(pause.min(NAP)).await,
            }
        };
        drop(waiting);
        Some(self.permitted(Some(permit), began_us))
    }

    /// Begins a call, and returns its time, unless there is a pause, which is the error.
    fn begin(&self) -> Result<i64, Duration> {
        self.change(|state, now_us| match u64::try_from(state.controller.pause_left_us(now_us)) {
            Ok(left_us) if left_us > 0 => Err(Duration::from_micros(left_us)),
            _ => {
                state.load.in_use += 1;
                Ok(now_us)
            }
        })
    }

    fn permitted(&self, permit: Option<OwnedSemaphorePermit>, began_us: i64) -> Permit {
        Permit { limiter: self.clone(), permit, began_us, sign: Sign::Unclear, tries: 0 }
    }

    /// Lets the time be noted: a limit that is not used shrinks. Sets the metrics. How often it is called does not matter.
    pub fn tick(&self) {
        self.change(|state, now_us| {
            let decision = state.controller.tick(now_us, state.load);
            report(decision);
            self.resize(state);
            show(state, now_us);
        });
    }

    /// How many calls may be under way.
    pub fn limit(&self) -> usize {
        self.change(|state, _| state.controller.limit())
    }

    /// Calls under way, and calls that wait for a permit.
    pub fn load(&self) -> Load {
        self.change(|state, _| state.load)
    }

    /// What it is like now.
    pub fn snapshot(&self) -> Snapshot {
        self.tick();
        self.change(|state, now_us| Snapshot {
            limit: state.controller.limit(),
            limits: state.controller.limits(),
            load: state.load,
            pause_left_us: state.controller.pause_left_us(now_us),
            baseline_us: state.controller.baseline_us(),
            decisions: state.controller.decisions().rev().copied().collect(),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, i64) -> T) -> T {
        // Nothing in here panics, and numbers are right after each step.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: in the order in which the controller gets them.
        let now_us = self.clock.now_us();
        change(&mut state, now_us)
    }

    fn ended(&self, began_us: i64, sign: Sign, tries: u32, permit: OwnedSemaphorePermit) {
        self.change(|state, now_us| {
            report(state.controller.ended(Ended { began_us, now_us, sign, tries, load: state.load }));
            state.load.in_use -= 1;
            if state.permits > state.controller.limit() {
                permit.forget();
                state.permits -= 1;
            }
            self.resize(state);
        });
    }

    /// Brings the semaphore to the controller's limit, as far as no permit that is to go is taken.
    fn resize(&self, state: &mut State) {
        let limit = state.controller.limit();
        if limit > state.permits {
            self.semaphore.add_permits(limit - state.permits);
            state.permits = limit;
        } else {
            state.permits -= self.semaphore.forget_permits(state.permits - limit);
        }
    }
}

impl Permit {
    /// How the call ended, of a payment that was tried so often before.
    pub fn end(mut self, sign: Sign, tries: u32) {
        (self.sign, self.tries) = (sign, tries);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.limiter.ended(self.began_us, self.sign, self.tries, permit);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.change(|state, _| state.load.waiting -= 1);
    }
}

impl Clock {
    fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_us: i64::try_from(since_1970.as_micros()).unwrap_or(0) }
    }

    fn now_us(self) -> i64 {
        self.began_us + i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX / 2)
    }
}

fn report(decision: Option<Decision>) {
    let Some(Decision { from, to, reason, .. }) = decision else { return };
    metrics::counter!("gateway_concurrency_decisions_total", "reason" => reason.name()).increment(1);
    tracing::debug!(from, to, reason = reason.name(), "gateway concurrency limit changed");
}

fn show(state: &State, now_us: i64) {
    let shown = |calls: usize| f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
    metrics::gauge!("gateway_concurrency_limit").set(shown(state.controller.limit()));
    metrics::gauge!("gateway_concurrency_in_use").set(shown(state.load.in_use));
    metrics::gauge!("gateway_concurrency_waiting").set(shown(state.load.waiting));
    metrics::gauge!("gateway_concurrency_pause_seconds").set(state.controller.pause_left_us(now_us) as f64 / 1e6);
}
