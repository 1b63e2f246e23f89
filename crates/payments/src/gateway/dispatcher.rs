//! Makes gateway calls, so many at once, and hands their answers to the thread that writes them.

use super::{Gateway, Limiter, PayRequest, RefundRequest, Reply, Snapshot};
use crate::domain::concurrency::Sign;
use crate::domain::saga::{Answer, Call, Input, PlannedCall};
use crate::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use worker_threads::Worker;

/// Makes calls. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    runtime: Handle,
    gateway: Arc<dyn Gateway>,
    limiter: Limiter,
    in_flight: Arc<AtomicUsize>,
    max_in_flight: usize,
    /// Calls of sagas that were taken up, as long as they wait for a permit.
    taken_up: Arc<AtomicUsize>,
    /// Calls that ended since sagas were last taken up.
    ended: Arc<AtomicUsize>,
    /// A call that waited longer is not made any more: its answer could come after its saga's lease, when another
    /// instance has the saga, and would not be written.
    start_within: Duration,
    /// Never holds more than what is in flight, which is bounded.
    answers: Sender<Answered>,
    worker: Worker,
}

/// What calls wait for.
const ANSWER: &str = "the gateway to answer a call";

/// An answer on its way to being written, which counts as in flight until the count is dropped.
pub type Answered = (Answer, Counted);

/// Counts something for as long as it is there.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn by(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Makes calls of `gateway` on `runtime`; answers go to `answers`.
    pub fn new(gateway: Arc<dyn Gateway>, runtime: Handle, settings: &Settings, answers: Sender<Answered>) -> Self {
        Self {
            runtime,
            gateway,
            limiter: Limiter::new(settings.gateway.concurrency_limits()),
            in_flight: Arc::new(AtomicUsize::new(0)),
            max_in_flight: settings.saga.max_in_flight,
            taken_up: Arc::new(AtomicUsize::new(0)),
            ended: Arc::new(AtomicUsize::new(0)),
            start_within: Duration::from_millis(
                settings.saga.lease_ms.saturating_sub(settings.gateway.request_timeout_ms),
            ),
            answers,
            worker: Worker::idle(),
        }
    }

    /// Where calls report whether the gateway answers them. It is ready while there are none.
    pub fn worker(&self) -> Worker {
        self.worker.clone()
    }

    /// Calls that are made, wait to be made, or whose answers wait to be written.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// How many more there may be.
    pub fn room(&self) -> usize {
        self.max_in_flight.saturating_sub(self.in_flight())
    }

    /// How many waiting sagas to take up now: twice the calls that ended since the last call of this, or twice those that can be
    /// made at once where that is more, less those that wait already. Each costs a write, and one that waits too long for its
    /// permit is not called.
    pub fn room_to_take_up(&self) -> usize {
        let soon_called = 2 * self.ended.swap(0, Ordering::SeqCst).max(self.limiter.limit());
        soon_called.saturating_sub(self.taken_up.load(Ordering::SeqCst)).min(self.room())
    }

    /// Whether all that are in flight wait for a gateway that answers nothing: no call is made just now, and none is under way.
    pub fn is_paused_and_idle(&self) -> bool {
        let now = self.limiter.snapshot();
        now.pause_left_us > 0 && now.load.in_use == 0
    }

    /// How many calls are made at once, and why.
    pub fn concurrency(&self) -> Snapshot {
        self.limiter.snapshot()
    }

    /// Makes calls, each when it has a permit. Returns at once. To be called now and then, with no calls too.
    pub fn dispatch(&self, calls: Vec<PlannedCall>) {
        self.make(calls, |_| None);
    }

    /// The same for calls of sagas that were taken up.
    pub fn dispatch_taken_up(&self, calls: Vec<PlannedCall>) {
        self.make(calls, |dispatcher| Some(Counted::by(&dispatcher.taken_up)));
    }

    fn make(&self, calls: Vec<PlannedCall>, waits: impl Fn(&Self) -> Option<Counted>) {
        for PlannedCall { claim_id, revision, call, tries } in calls {
            let in_flight = Counted::by(&self.in_flight);
            let waits = waits(self);
            let ended = Arc::clone(&self.ended);
            let limiter = self.limiter.clone();
            let answers = self.answers.clone();
            let gateway = Arc::clone(&self.gateway);
            let worker = self.worker.clone();
            let (planned, start_within) = (Instant::now(), self.start_within);
            self.runtime.spawn(async move {
                let until = planned + start_within;
                let permit = match tokio::time::timeout_at(until.into(), limiter.permit()).await {
                    Ok(None) => return,
                    Ok(Some(permit)) if Instant::now() <= until => permit,
                    Ok(Some(_)) | Err(_) => {
                        metrics::counter!("gateway_calls_not_in_time_total").increment(1);
                        return;
                    }
                };
                drop(waits);
                let started = Instant::now();
                worker.working(ANSWER);
                let Reply { answer: input, sign, unclear } = send(&*gateway, &call).await;
                permit.end(sign, tries);
                report(&worker, sign, limiter.load().in_use > 0);
                ended.fetch_add(1, Ordering::SeqCst);
                metrics::histogram!("gateway_call_seconds").record(started.elapsed().as_secs_f64());
                let answer = Answer { claim_id, revision, input, unclear };
                // The writer is gone only when the service is stopping: another instance takes the saga up.
                let _ = answers.send((answer, in_flight));
            });
        }
        self.limiter.tick();
        metrics::gauge!("gateway_calls_in_flight").set(f64::from(u32::try_from(self.in_flight()).unwrap_or(u32::MAX)));
    }
}

/// Reports the end of a call. While others are under way, one without an answer does not end the wait; the last one without an
/// answer is a failure, which lasts while there are more of them.
fn report(worker: &Worker, sign: Sign, others: bool) {
    match sign {
        Sign::Answered | Sign::Busy | Sign::Unclear => worker.succeeded(),
        Sign::TimedOut | Sign::Failed if others => {}
        Sign::TimedOut | Sign::Failed => worker.failed_on_demand("the payment gateway did not answer the last calls"),
    }
    if others {
        worker.working(ANSWER);
    }
}

async fn send(gateway: &dyn Gateway, call: &Call) -> Reply<Input> {
    match call {
        Call::Pay { key, reference, payee, amount_cents } => {
            let sent = gateway.pay(PayRequest { key, reference, payee, amount_cents: *amount_cents });
            sent.await.map(Input::PayAnswer)
        }
        Call::LookUp { key, reference } => {
            // How old the payment is, the executor knows.
            gateway.look_up(key, reference).await.map(|answer| Input::LookedUp { answer, key_expired: false })
        }
        Call::Refund { key, reference, amount_cents } => {
            let sent = gateway.refund(RefundRequest { key, reference, amount_cents: *amount_cents });
            sent.await.map(Input::RefundAnswer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use worker_threads::WorkerState;

    #[test]
    fn calls_are_not_ready_while_none_of_those_under_way_is_answered() {
        let waits = |worker: &Worker| matches!(worker.state(Duration::ZERO), WorkerState::NoNews { .. });
        let worker = Worker::idle();
        worker.working(ANSWER);
        report(&worker, Sign::TimedOut, true);
        assert!(waits(&worker), "another call waits");
        report(&worker, Sign::Failed, false);
        assert!(!waits(&worker), "no call is under way");
        worker.working(ANSWER);
        report(&worker, Sign::Busy, false);
        assert!(!waits(&worker) && worker.since_last_success().is_some(), "the gateway answers");
        report(&worker, Sign::Answered, true);
        assert!(waits(&worker), "another call waits from now on");
    }
}
