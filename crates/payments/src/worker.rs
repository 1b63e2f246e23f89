//! The threads that move sagas on: one writes the gateway's answers, many in a transaction; one takes up sagas without a worker; and
//! one counts what waits for a person.

use crate::db::{returns, sagas};
use crate::domain::saga::Answer;
use crate::executor::Executor;
use crate::gateway::{Answered, Dispatcher};
use crate::settings::SagaSettings;
use dual_db::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_threads::{Backoff, Pace, Periodic, Worker};

/// How often writing answers is tried before they are left to the instance that takes the sagas up next.
const WRITE_ATTEMPTS: u32 = 5;
/// Between the attempts to write answers.
const BETWEEN_WRITES: Backoff = Backoff::from_millis(200, 1_600);
/// How often the writer looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// With so many more calls in flight, answers are gathered for a while: a transaction costs the same for one of them as for many,
/// and the calls that wait are made meanwhile.
const MANY_IN_FLIGHT: usize = 64;
/// For how long they are gathered then.
const GATHER_FOR: Duration = Duration::from_millis(20);

/// The thread that writes answers.
#[derive(Debug)]
pub struct AnswerWriter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    dispatcher: Dispatcher,
}

impl AnswerWriter {
    /// Starts it. It reports to `worker`.
    pub fn start(
        executor: Executor,
        dispatcher: Dispatcher,
        answers: Receiver<Answered>,
        settings: &SagaSettings,
        worker: Worker,
    ) -> Self {
        let most = settings.max_answer_batch;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let making = dispatcher.clone();
        let thread = worker_threads::spawn("answer writer", move || {
            while !stopping.load(Ordering::SeqCst) {
                let first = match answers.recv_timeout(LOOK_EVERY) {
                    Ok(first) => first,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                if making.in_flight() > MANY_IN_FLIGHT {
                    std::thread::sleep(GATHER_FOR);
                }
                let batch = std::iter::once(first).chain(answers.try_iter().take(most - 1));
                let (batch, in_flight): (Vec<Answer>, Vec<_>) = batch.unzip();
                worker.working("the database to write answers");
                write(&executor, &making, &batch, &worker);
                drop(in_flight);
            }
        });
        Self { stop, thread, dispatcher }
    }

    /// Waits a bounded time for the calls in hand to be answered and written, and for none where the gateway answers nothing,
    /// then ends the thread. What is left is taken up by another instance when its lease is over.
    pub fn drain(self, timeout: Duration) {
        let until = Instant::now() + timeout;
        while self.dispatcher.in_flight() > 0 && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
            if self.dispatcher.is_paused_and_idle() {
                break;
            }
        }
        self.stop.store(true, Ordering::SeqCst);
        // The thread cannot have panicked: that would have ended the process.
        let _ = self.thread.join();
    }
}

fn write(executor: &Executor, dispatcher: &Dispatcher, answers: &[Answer], worker: &Worker) {
    for attempt in 1..=WRITE_ATTEMPTS {
        match executor.apply_answers(answers) {
            Ok(calls) => {
                worker.succeeded();
                return dispatcher.dispatch(calls);
            }
            // One of them cannot be written, and must not cost the others their answers.
            Err(error) if answers.len() > 1 && executor.is_the_sagas_fault(&error) => {
                let alone = |answer| write(executor, dispatcher, std::slice::from_ref(answer), worker);
                return answers.iter().for_each(alone);
            }
            Err(error) if attempt < WRITE_ATTEMPTS && !error.is_refusal() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    attempt,
                    "gateway answers not written; retrying"
                );
                std::thread::sleep(BETWEEN_WRITES.pause(attempt));
            }
            Err(error) => {
                worker.failed_on_demand("the database did not take the last answers of the gateway");
                return tracing::error!(
                    error = &error as &dyn std::error::Error,
                    answers = answers.len(),
                    "gateway answers not written; the requests are sent again when the leases are over"
                );
            }
        }
    }
}

/// Starts the thread that takes up sagas whose worker stopped or whose pause is over. It reports to `worker`.
pub fn start_resuming(executor: Executor, dispatcher: Dispatcher, settings: &SagaSettings, worker: Worker) -> Periodic {
    let mut due_times = executor.due_times();
    Periodic::spawn("saga resumer", Duration::from_millis(settings.resume_interval_ms), move || {
        executor.check(&mut due_times);
        let room = i64::try_from(dispatcher.room_to_take_up()).unwrap_or(i64::MAX);
        worker.working("the database to take up sagas");
        match executor.resume(room) {
            Ok(calls) => {
                worker.succeeded();
                if !calls.is_empty() {
                    tracing::debug!(sagas = calls.len(), "sagas taken up");
                }
                dispatcher.dispatch_taken_up(calls);
            }
            Err(error) => {
                worker.failed("sagas are not taken up: the database refuses it or is not available");
                tracing::warn!(error = &error as &dyn std::error::Error, "sagas not taken up; retrying");
            }
        }
        worker.working("its next run");
        Pace::Pause
    })
}

/// Starts the thread that sets the metrics of stuck payments, waiting returns and dead letters: those of all instances.
pub fn start_counting_stuck(database: Database, every: Duration) -> Periodic {
    Periodic::spawn("stuck counter", every, move || {
        // While the database is away, the last numbers stand.
        if let Err(error) = count_stuck(&database) {
            tracing::debug!(error = &error as &dyn std::error::Error, "what waits for a person not counted; retrying");
        }
        Pace::Pause
    })
}

/// Sets the gauges of what waits for a person.
///
/// # Errors
/// The database's.
pub fn count_stuck(database: &Database) -> dual_db::Result<()> {
    let (stuck, (waiting, since_us), dead_letters, now_us) = database.read(|connection| {
        let now_us = connection.now_us()?;
        let dead_letters = event_bus::count_waiting_dead_letters(connection)?;
        Ok((sagas::count_stuck(connection)?, returns::count_waiting(connection)?, dead_letters, now_us))
    })?;
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    metrics::gauge!("payments_stuck").set(number(stuck));
    metrics::gauge!("gateway_returns_waiting").set(number(waiting));
    let age_us = since_us.map_or(0, |since_us| (now_us - since_us).max(0));
    metrics::gauge!("gateway_returns_oldest_age_seconds").set(number(age_us / 1_000_000));
    metrics::gauge!("dead_letters_waiting").set(number(dead_letters));
    Ok(())
}
