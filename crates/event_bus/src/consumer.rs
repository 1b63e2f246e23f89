//! The consumer: one thread polls, passes batches to a [`Handler`], and stores offsets after the handler's commit.
//!
//! Batches are applied on the polling thread. So no work is in flight while partitions are revoked, and a rebalance has nothing
//! to drain or fence. Versions in the rows make duplicate deliveries harmless. While the handler has no room or the database is
//! unavailable, the partitions are paused and polling goes on, so the member stays in its group.

use crate::dead_letters::{self, DeadLetter};
use crate::member::{Member, POLL};
use crate::poison::{Evidence, Failure, Proof, Verdict};
use crate::{ConsumerSettings, IncomingMessage, KafkaSettings};
use anyhow::{Context as _, bail};
use dual_db::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_threads::{Backoff, Spacing, Worker};

/// Applies the messages of a consumer.
pub trait Handler: Send + 'static {
    /// Whether the handler can take more work now. While it cannot, the partitions are paused.
    fn has_room(&self) -> bool {
        true
    }

    /// Applies a batch in one transaction and returns after its commit. May be called again with messages that were
    /// already applied. A message that can never be applied is to be dead-lettered in the same transaction.
    ///
    /// # Errors
    /// Those of the database; the consumer retries the batch.
    fn handle(&mut self, batch: &[IncomingMessage]) -> dual_db::Result<()>;
}

/// A running member of a consumer group.
#[derive(Debug)]
pub struct Consumer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    worker: Worker,
    close_timeout: Duration,
}

impl Consumer {
    /// Joins the group and starts the consumer thread. Kafka need not be running yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn start(
        settings: &KafkaSettings,
        topic: &str,
        database: Database,
        handler: impl Handler,
    ) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let member = Member::join(settings, topic).context("Kafka's client refuses the kafka settings")?;
        let worker = member.worker();
        let mut consuming = Loop {
            member,
            spacing: Spacing::new(Duration::from_millis(settings.consumer.batch_linger_ms)),
            settings: settings.consumer.clone(),
            max_message_bytes: settings.max_message_bytes,
            database,
            handler: Box::new(handler),
            stop: Arc::clone(&stop),
        };
        let thread = worker_threads::spawn("consumer", move || consuming.run());
        Ok(Self { stop, thread, worker, close_timeout: Duration::from_millis(settings.consumer.close_timeout_ms) })
    }

    /// Where it reports whether it is a member of its group, may read its topic, and applies its messages.
    pub fn worker(&self) -> Worker {
        self.worker.clone()
    }

    /// Finishes the current batch, commits the stored offsets and leaves the group, within the close time-out.
    ///
    /// # Errors
    /// When it took longer: the process should end without it, and its partitions wait for the session
    /// time-out.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        let until = Instant::now() + self.close_timeout;
        while !self.thread.is_finished() {
            if Instant::now() >= until {
                bail!("the consumer did not leave its group in time");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// How many times as long messages have to fail without a known reason of which not one can be applied: the database is more
/// likely at fault, in a way that the probe does not show.
const NO_NEIGHBOUR_PASSES: u32 = 12;

/// A message that is tried alone, and the evidence against it.
struct LoneMessage {
    message: IncomingMessage,
    evidence: Evidence,
}

impl LoneMessage {
    /// Whether the order of the two has to be kept.
    fn comes_before(&self, later: &Self) -> bool {
        (self.message.partition, &self.message.key) == (later.message.partition, &later.message.key)
    }
}

struct Loop {
    member: Member,
    spacing: Spacing,
    settings: ConsumerSettings,
    max_message_bytes: usize,
    database: Database,
    handler: Box<dyn Handler>,
    stop: Arc<AtomicBool>,
}

impl Loop {
    fn run(&mut self) {
        while !self.stopping() {
            self.member.join_again();
            let has_room = self.handler.has_room();
            self.member.set_paused(!has_room);
            if !has_room {
                self.member.hold_back(POLL);
                continue;
            }
            let batch = self.gather();
            if batch.is_empty() {
                continue;
            }
            metrics::counter!("messages_received_total").increment(batch.len() as u64);
            metrics::histogram!("consumer_batch_messages").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
            self.member.begin_batch();
            if self.apply(&batch) {
                self.member.store_offsets(&batch);
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The messages that were held back, or else the first message, and all that have come by the time at which the next batch may
    /// begin. Until then it does not poll: librdkafka fetches again only when what it has fetched is taken, and so fetches more.
    fn gather(&mut self) -> Vec<IncomingMessage> {
        let mut batch = self.member.take_held_back();
        if batch.is_empty() {
            let Some(first) = self.member.poll(POLL) else { return batch };
            batch.push(first);
        }
        std::thread::sleep(self.spacing.wait(Instant::now()));
        let began = Instant::now();
        while batch.len() < self.settings.max_batch_messages {
            match self.member.poll(Duration::ZERO) {
                Some(message) => batch.push(message),
                None => {
                    self.spacing.begin(began);
                    break;
                }
            }
        }
        batch
    }

    /// Retries until the batch is applied; `false` if the service stops first. Waits while the database is unavailable. A batch
    /// in which one message may be at fault is applied message by message.
    fn apply(&mut self, batch: &[IncomingMessage]) -> bool {
        let limit = self.max_message_bytes;
        if batch.iter().any(|message| message.body.len() > limit) {
            let (too_large, batch): (Vec<_>, Vec<_>) =
                batch.iter().cloned().partition(|message| message.body.len() > limit);
            return self.dead_letter_too_large(&too_large) && self.apply(&batch);
        }
        let mut attempt = 0;
        while !batch.is_empty() {
            if self.stopping() {
                return false;
            }
            let Err(failure) = self.handle(batch) else { return true };
            attempt += 1;
            let one_may_be_at_fault = match failure {
                Failure::Refused => true,
                // Most troubles without a kind are not about a message, and end soon.
                Failure::Unexplained => attempt >= self.settings.max_attempts && self.database_works(),
                Failure::LostRace | Failure::Unavailable => false,
            };
            if one_may_be_at_fault {
                return self.apply_one_by_one(batch.to_vec());
            }
            self.wait_while_polling(attempt);
        }
        true
    }

    /// Retries until each message is applied or dead-lettered; `false` if the service stops first.
    fn apply_one_by_one(&mut self, batch: Vec<IncomingMessage>) -> bool {
        let of = batch.len();
        let mut left: Vec<LoneMessage> =
            batch.into_iter().map(|message| LoneMessage { message, evidence: Evidence::default() }).collect();
        let mut attempt = 0;
        loop {
            let before = left.len();
            left = self.try_each(left, of);
            if left.is_empty() {
                return true;
            }
            if self.stopping() {
                return false;
            }
            attempt = if left.len() < before { 1 } else { attempt + 1 };
            self.wait_while_polling(attempt);
        }
    }

    /// Tries each message once, except those behind a failed one with the same key, and returns those that are left, in order.
    /// `of`: how many there were at first.
    fn try_each(&mut self, alone: Vec<LoneMessage>, of: usize) -> Vec<LoneMessage> {
        let mut neighbours_pass = alone.len() < of || of == 1;
        let mut left: Vec<LoneMessage> = Vec::new();
        let mut alone = alone.into_iter();
        while let Some(mut lone) = alone.next() {
            if self.stopping() || left.iter().any(|failed| failed.comes_before(&lone)) {
                left.push(lone);
                continue;
            }
            let Err(failure) = self.handle(std::slice::from_ref(&lone.message)) else {
                neighbours_pass = true;
                continue;
            };
            // Failures may be slow, and a member that does not poll loses its partitions.
            self.member.set_paused(true);
            self.member.hold_back(Duration::ZERO);
            let database_works = failure.may_be_the_message() && self.database_works();
            let poison_after = Duration::from_millis(self.settings.poison_after_ms);
            let proof = Proof {
                refusals: self.settings.max_attempts,
                unexplained_for: if neighbours_pass { poison_after } else { poison_after * NO_NEIGHBOUR_PASSES },
            };
            let verdict = lone.evidence.add(failure, database_works, Instant::now(), proof);
            if let Verdict::Poison(reason) = verdict
                && self.dead_letter(std::slice::from_ref(&lone.message), reason)
            {
                continue;
            }
            left.push(lone);
            if failure.may_be_the_message() && !database_works || failure == Failure::Unavailable {
                // The database is in trouble: what was counted proves nothing, and the others would fail too.
                left.extend(alone);
                left.iter_mut().for_each(|lone| lone.evidence.clear());
                return left;
            }
        }
        left
    }

    fn handle(&mut self, messages: &[IncomingMessage]) -> Result<(), Failure> {
        self.handler.handle(messages).map_err(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                messages = messages.len(),
                "messages could not be applied, retrying"
            );
            Failure::of(&error)
        })
    }

    fn database_works(&self) -> bool {
        let probed = self.database.probe_write();
        if let Err(error) = &probed {
            tracing::warn!(error = error as &dyn std::error::Error, "the database cannot be written, waiting for it");
        }
        probed.is_ok()
    }

    /// Retries until the messages are dead-lettered; `false` if the service stops first.
    fn dead_letter_too_large(&mut self, messages: &[IncomingMessage]) -> bool {
        let mut attempt = 0;
        while !messages.is_empty() && !self.stopping() {
            if self.dead_letter(messages, "it is larger than the setting kafka.max_message_bytes allows") {
                return true;
            }
            attempt += 1;
            self.wait_while_polling(attempt);
        }
        messages.is_empty()
    }

    /// Returns `false` if the database did not store the dead letters: the messages must be retried then.
    fn dead_letter(&self, messages: &[IncomingMessage], reason: &str) -> bool {
        let refused: Vec<DeadLetter> =
            messages.iter().map(|message| DeadLetter { message: message.clone(), reason: reason.to_owned() }).collect();
        let stored = self.database.write(|connection| {
            let now_us = connection.now_us()?;
            dead_letters::insert(connection, &refused, now_us)
        });
        match stored {
            Ok(new) => {
                new.report();
                true
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "messages could not be dead-lettered, retrying"
                );
                false
            }
        }
    }

    /// Waits a growing time. The member keeps polling meanwhile, with its partitions paused.
    fn wait_while_polling(&mut self, attempt: u32) {
        let backoff = Backoff::from_millis(self.settings.retry_pause_ms, self.settings.max_retry_pause_ms);
        let until = Instant::now() + backoff.pause(attempt);
        while Instant::now() < until && !self.stopping() {
            self.member.set_paused(true);
            self.member.hold_back(POLL.min(until.saturating_duration_since(Instant::now())));
        }
        self.member.set_paused(false);
    }
}
