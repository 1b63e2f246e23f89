//! The way in: one thread polls, hands batches to a [`Handler`], and stores offsets after the handler's commit.
//!
//! Handling on the polling thread means that no work is in flight when partitions are taken away, so nothing has to be
//! drained or fenced there; versions in the rows make whatever is delivered twice harmless. A handler that has no room,
//! or a database that is gone, pauses the partitions while polling goes on, so the member keeps its place in the group.

use crate::dead_letters::{self, DeadLetter};
use crate::{ConsumerSettings, IncomingMessage, KafkaSettings, client};
use anyhow::{Context as _, bail};
use dual_db::Database;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_threads::Backoff;

/// How long a poll waits for the first message of a batch.
const POLL: Duration = Duration::from_millis(100);

/// What is done with messages.
pub trait Handler: Send + 'static {
    /// Whether more work can be taken now; while not, partitions are paused.
    fn has_room(&self) -> bool {
        true
    }

    /// Applies a batch in one transaction and returns after its commit. May be called again with messages that were
    /// already applied. What can never be applied belongs into the dead letters, in the same transaction.
    ///
    /// # Errors
    /// The database's; the batch is tried again.
    fn handle(&mut self, batch: &[IncomingMessage]) -> dual_db::Result<()>;
}

/// A running member of a consumer group.
#[derive(Debug)]
pub struct Consumer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    close_timeout: Duration,
}

impl Consumer {
    /// Joins the group and starts handling. Kafka need not be there yet.
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
        let mut consuming = Loop {
            member,
            settings: settings.consumer.clone(),
            max_message_bytes: settings.max_message_bytes,
            database,
            handler: Box::new(handler),
            stop: Arc::clone(&stop),
        };
        let thread = worker_threads::spawn("consumer", move || consuming.run());
        Ok(Self { stop, thread, close_timeout: Duration::from_millis(settings.consumer.close_timeout_ms) })
    }

    /// Finishes the batch in hand, commits the stored offsets and leaves the group, within the close time-out.
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

#[derive(Default)]
struct Context {
    assignment_changed: AtomicBool,
    /// The member is leaving its group.
    closing: AtomicBool,
    /// The one rebalance event of a closing member was answered.
    answered_close: AtomicBool,
}

impl Context {
    /// Whether a rebalance event is to be answered: each, but of a closing member only the first. It gets a revocation,
    /// and before that perhaps an assignment which was still queued. librdkafka takes the answer to either as giving up
    /// everything, and closes; an answer that comes while it does so can wait without end for its reply (librdkafka
    /// issue 4884, open at 2.12.1).
    fn may_answer(&self) -> bool {
        !(self.closing.load(Ordering::SeqCst) && self.answered_close.swap(true, Ordering::SeqCst))
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
    }
}

impl ConsumerContext for Context {
    /// Accepts every assignment and every revocation.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if !self.may_answer() {
            return;
        }
        let (done, rebalance) = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            (consumer.incremental_assign(partitions), Rebalance::Assign(partitions))
        } else {
            (consumer.incremental_unassign(partitions), Rebalance::Revoke(partitions))
        };
        match done {
            Ok(()) => self.post_rebalance(consumer, &rebalance),
            Err(error) => self.post_rebalance(consumer, &Rebalance::Error(error)),
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.assignment_changed.store(true, Ordering::SeqCst);
        match rebalance {
            Rebalance::Assign(partitions) if partitions.count() > 0 => {
                tracing::info!(partitions = partitions.count(), "partitions were given to this instance");
            }
            Rebalance::Revoke(partitions) if partitions.count() > 0 => {
                tracing::info!(partitions = partitions.count(), "partitions were taken from this instance");
            }
            Rebalance::Assign(_) | Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "the consumer group could not be rebalanced"),
        }
    }
}

/// One member of the group: polling, pausing and storing offsets.
struct Member {
    consumer: BaseConsumer<Context>,
    paused: bool,
    /// Messages that came while nothing could be done with them. They must be handled before later ones of their
    /// partition: an offset stored past them would skip them.
    held_back: Vec<IncomingMessage>,
}

impl Member {
    fn join(settings: &KafkaSettings, topic: &str) -> Result<Self, KafkaError> {
        let consumer_settings = &settings.consumer;
        let consumer: BaseConsumer<Context> = client::configuration(settings)
            .set("group.id", &consumer_settings.group_id)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "earliest")
            // Offsets are stored by hand, after the commit; what is stored is committed in the background.
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("session.timeout.ms", consumer_settings.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (consumer_settings.session_timeout_ms / 4).to_string())
            .set(
                "max.poll.interval.ms",
                consumer_settings.max_poll_interval_ms.max(consumer_settings.session_timeout_ms).to_string(),
            )
            .set("fetch.wait.max.ms", consumer_settings.fetch_wait_max_ms.to_string())
            .set("fetch.message.max.bytes", settings.max_message_bytes.to_string())
            .set("queued.max.messages.kbytes", consumer_settings.max_prefetch_kbytes.to_string())
            .create_with_context(Context::default())?;
        consumer.subscribe(&[topic])?;
        Ok(Self { consumer, paused: false, held_back: Vec::new() })
    }

    fn poll(&self, timeout: Duration) -> Option<IncomingMessage> {
        match self.consumer.poll(timeout)? {
            Ok(message) => Some(IncomingMessage::from_borrowed(&message)),
            Err(error) => {
                tracing::debug!(%error, "the consumer could not fetch; it tries again");
                // Errors come without waiting: without a pause they would fill the log and a core.
                std::thread::sleep(POLL);
                None
            }
        }
    }

    /// Polls while everything is paused, so that the member keeps its place in the group. A message that slips through
    /// (from a partition assigned this moment) is held back.
    fn hold_back(&mut self, timeout: Duration) {
        let slipped = self.poll(timeout);
        self.held_back.extend(slipped);
    }

    /// Pauses or resumes everything assigned, also what was assigned since. A partition that was taken away while it was
    /// paused is still paused when it comes back.
    fn set_paused(&mut self, paused: bool) {
        let changed = self.consumer.context().assignment_changed.swap(false, Ordering::SeqCst);
        if paused == self.paused && !changed {
            return;
        }
        let result = self
            .consumer
            .assignment()
            .and_then(|assigned| if paused { self.consumer.pause(&assigned) } else { self.consumer.resume(&assigned) });
        match result {
            Ok(()) => self.paused = paused,
            Err(error) => {
                self.consumer.context().assignment_changed.store(true, Ordering::SeqCst);
                tracing::warn!(%error, paused, "partitions could not be paused or resumed; trying again");
            }
        }
    }

    fn store_offsets(&self, batch: &[IncomingMessage]) {
        let mut next = BTreeMap::new();
        for message in batch {
            let offset = next.entry((message.topic.as_str(), message.partition)).or_insert(0);
            *offset = (message.offset + 1).max(*offset);
        }
        for ((topic, partition), offset) in next {
            let mut one = TopicPartitionList::new();
            let stored = one
                .add_partition_offset(topic, partition, Offset::Offset(offset))
                .and_then(|()| self.consumer.store_offsets(&one));
            // A partition that was taken away meanwhile is refused; its new owner applies the messages again, harmlessly.
            if let Err(error) = stored {
                tracing::debug!(%error, topic, partition, "an offset was not stored");
            }
        }
    }
}

impl Drop for Member {
    /// The consumer, dropped next, leaves the group.
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::SeqCst);
    }
}

struct Loop {
    member: Member,
    settings: ConsumerSettings,
    max_message_bytes: usize,
    database: Database,
    handler: Box<dyn Handler>,
    stop: Arc<AtomicBool>,
}

impl Loop {
    fn run(&mut self) {
        while !self.stopping() {
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
            if self.apply(batch.clone()) {
                self.member.store_offsets(&batch);
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// What was held back, or else the first message that comes, and what follows at once.
    fn gather(&mut self) -> Vec<IncomingMessage> {
        let mut batch = std::mem::take(&mut self.member.held_back);
        if batch.is_empty() {
            let Some(first) = self.member.poll(POLL) else { return batch };
            batch.push(first);
        }
        let until = Instant::now() + Duration::from_millis(self.settings.batch_linger_ms);
        while batch.len() < self.settings.max_batch_messages {
            match self.member.poll(until.saturating_duration_since(Instant::now())) {
                Some(message) => batch.push(message),
                None => break,
            }
        }
        batch
    }

    /// Tries until the batch is applied; `false` when the service stops before. A database that is gone is waited for.
    /// Where it refuses a batch, the messages are tried one by one, and one that it keeps refusing is set aside.
    fn apply(&mut self, batch: Vec<IncomingMessage>) -> bool {
        let (too_large, batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|message| message.body.len() > self.max_message_bytes);
        if !self.set_aside_too_large(&too_large) {
            return false;
        }
        let mut work = if batch.is_empty() { Vec::new() } else { vec![batch] };
        let mut attempt = 0;
        while let Some(part) = work.pop() {
            if self.stopping() {
                return false;
            }
            let Err(error) = self.handler.handle(&part) else {
                attempt = 0;
                continue;
            };
            attempt += 1;
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                attempt,
                messages = part.len(),
                "messages could not be applied; trying again"
            );
            let refused = error.is_refusal();
            if refused && part.len() > 1 {
                work.extend(part.into_iter().rev().map(|message| vec![message]));
                attempt = 0;
            } else if refused
                && attempt >= self.settings.max_attempts
                && self.set_aside(&part, "the database refuses it")
            {
                attempt = 0;
            } else {
                work.push(part);
                self.wait_while_polling(attempt);
            }
        }
        true
    }

    /// Tries until they are set aside; `false` when the service stops before.
    fn set_aside_too_large(&mut self, messages: &[IncomingMessage]) -> bool {
        let mut attempt = 0;
        while !messages.is_empty() && !self.stopping() {
            if self.set_aside(messages, "it is larger than the setting kafka.max_message_bytes allows") {
                return true;
            }
            attempt += 1;
            self.wait_while_polling(attempt);
        }
        messages.is_empty()
    }

    /// `false`: that was refused as well, so the messages must be kept.
    fn set_aside(&self, messages: &[IncomingMessage], reason: &str) -> bool {
        let letters: Vec<DeadLetter> =
            messages.iter().map(|message| DeadLetter { message: message.clone(), reason: reason.to_owned() }).collect();
        let kept = self.database.write(|connection| {
            let now_us = connection.now_us()?;
            dead_letters::insert(connection, &letters, now_us)
        });
        match kept {
            Ok(new) => {
                new.report();
                true
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "messages could not be set aside; trying again"
                );
                false
            }
        }
    }

    /// A growing pause in which the member keeps polling, with its partitions paused.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_member_answers_one_rebalance_event() {
        let context = Context::default();
        assert!(context.may_answer() && context.may_answer());
        context.closing.store(true, Ordering::SeqCst);
        assert!(context.may_answer());
        assert!(!context.may_answer() && !context.may_answer());
    }
}
