//! A member of a consumer group: polling, pausing, storing offsets, its part in a rebalance, and whether it can do its work.

use crate::membership::Membership;
use crate::refusals::{Operation, Refusals};
use crate::{IncomingMessage, KafkaSettings, client};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use worker_threads::Worker;

/// How long a poll waits for a message.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// How often librdkafka reports its statistics.
const STATISTICS_EVERY: Duration = Duration::from_secs(2);

/// How long a member may be idle before it commits an offset again, to find out whether it still may.
const PROBE_AFTER: Duration = Duration::from_secs(3);

struct Context {
    topic: String,
    group: String,
    refusals: Refusals,
    seen: Mutex<Seen>,
    assignment_changed: AtomicBool,
    /// The member is leaving its group.
    closing: AtomicBool,
    /// The closing member has answered a rebalance event.
    answered_close: AtomicBool,
}

/// What librdkafka has reported of the member.
struct Seen {
    membership: Membership,
    /// When it last became a member.
    joined_at: Instant,
    /// The last statistics.
    statistics_at: Instant,
    /// The last commit that succeeded.
    commit_at: Instant,
    /// When a probe last tried to commit.
    probed_at: Option<Instant>,
}

impl Context {
    fn new(settings: &KafkaSettings, topic: &str) -> Self {
        let now = Instant::now();
        let seen = Seen {
            membership: Membership::default(),
            joined_at: now,
            statistics_at: now,
            commit_at: now,
            probed_at: None,
        };
        Self {
            topic: topic.to_owned(),
            group: settings.consumer.group_id.clone(),
            refusals: Refusals::new(settings),
            seen: Mutex::new(seen),
            assignment_changed: AtomicBool::default(),
            closing: AtomicBool::default(),
            answered_close: AtomicBool::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_group(&self) -> Operation {
        Operation::ReadGroup(self.group.clone())
    }

    fn read_topic(&self) -> Operation {
        Operation::ReadTopic(self.topic.clone())
    }

    /// Keeps a refusal. librdkafka reports each only once, however long it lasts.
    fn note(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => self.refusals.begins(&self.read_group(), reason),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => self.refusals.begins(&self.read_topic(), reason),
            _ => {}
        }
    }

    /// Keeps that the brokers refuse a probe's commit. librdkafka only logs that, and calls no callback.
    fn note_line(&self, facility: &str, line: &str) {
        if facility != "COMMITFAIL" {
            return;
        }
        for code in [RDKafkaErrorCode::GroupAuthorizationFailed, RDKafkaErrorCode::TopicAuthorizationFailed] {
            // librdkafka's own text, which is the second half of this: a name, and the text in parentheses.
            let shown = code.to_string();
            let text = shown.split_once(" (").map_or(shown.as_str(), |(_, text)| text.trim_end_matches(')'));
            if line.contains(text) {
                self.note(&KafkaError::ConsumerCommit(code), "an offset cannot be committed");
            }
        }
    }

    fn took_statistics(&self, membership: Membership, now: Instant) {
        let mut seen = self.seen();
        if membership.is_member && !seen.membership.is_member {
            seen.joined_at = now;
        }
        seen.membership = membership;
        let (joined_at, before) = (seen.joined_at, seen.statistics_at);
        seen.statistics_at = now;
        let (is_member, reads) = (seen.membership.is_member, seen.membership.reads);
        drop(seen);
        if self.refusals.is_empty() || !is_member {
            return;
        }
        // A member that has joined again since may be in its group. One that merely has not left it yet may not.
        self.refusals.ends(&self.read_group(), joined_at);
        if reads {
            self.refusals.ends(&self.read_topic(), before);
        }
    }

    /// Whether to answer a rebalance event. A member answers each, but a closing member only the first: it gets a revocation,
    /// and possibly a queued assignment before that. librdkafka takes the answer to either as giving up every partition, and
    /// closes. An answer during that close can block forever (librdkafka issue 4884, open at 2.12.1).
    fn may_answer(&self) -> bool {
        !(self.closing.load(Ordering::SeqCst) && self.answered_close.swap(true, Ordering::SeqCst))
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
        self.note_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
        self.note(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(membership) = Membership::parse(statistics, &self.topic) {
            self.took_statistics(membership, Instant::now());
        }
    }
}

impl ConsumerContext for Context {
    /// A commit needs the same rights as reading: Read on the group and on the topic.
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.seen().commit_at = now;
                if !self.refusals.is_empty() {
                    self.refusals.ends(&self.read_group(), now);
                    self.refusals.ends(&self.read_topic(), now);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "offsets not committed");
                self.note(&error, "the offsets cannot be committed");
            }
        }
    }

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
                tracing::info!(partitions = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(partitions) if partitions.count() > 0 => {
                tracing::info!(partitions = partitions.count(), "partitions revoked");
            }
            Rebalance::Assign(_) | Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "consumer group rebalance failed"),
        }
    }
}

/// A member of the group. Dropping it leaves the group.
pub(crate) struct Member {
    consumer: BaseConsumer<Context>,
    worker: Worker,
    /// When it last received a message.
    received_at: Cell<Instant>,
    reported_at: Cell<Instant>,
    /// Whether messages that were received are not applied yet.
    applying: bool,
    paused: bool,
    /// Messages that were received while the partitions were paused. They must be applied before later ones of their
    /// partition: an offset stored past them would skip them.
    held_back: Vec<IncomingMessage>,
}

impl Member {
    /// Joins the group of the settings and subscribes to `topic`.
    pub(crate) fn join(settings: &KafkaSettings, topic: &str) -> Result<Self, KafkaError> {
        let consumer_settings = &settings.consumer;
        let consumer: BaseConsumer<Context> = client::configuration(settings)
            .set("group.id", &consumer_settings.group_id)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("auto.offset.reset", "earliest")
            // Offsets are stored by `store_offsets`, after the commit. librdkafka commits stored offsets in the background.
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
            .set("statistics.interval.ms", STATISTICS_EVERY.as_millis().to_string())
            .create_with_context(Context::new(settings, topic))?;
        consumer.subscribe(&[topic])?;
        let now = Instant::now();
        Ok(Self {
            consumer,
            worker: Worker::starting(),
            received_at: Cell::new(now),
            reported_at: Cell::new(now),
            applying: false,
            paused: false,
            held_back: Vec::new(),
        })
    }

    /// Where it reports its work.
    pub(crate) fn worker(&self) -> Worker {
        self.worker.clone()
    }

    /// Notes that messages are about to be applied, until their offsets are stored.
    pub(crate) fn begin_batch(&mut self) {
        self.applying = true;
        self.report();
    }

    /// Reports whether it can do its work.
    fn report(&self) {
        let context = self.consumer.context();
        if let Some(refusal) = context.refusals.sentence() {
            self.worker.failed(refusal);
        } else if self.applying {
            self.worker.working("its messages to be applied");
        } else if context.seen().membership.is_member {
            self.worker.succeeded();
            self.worker.working("its next poll");
        } else {
            self.worker.working("its place in the consumer group");
        }
    }

    /// Reports after a poll, not more often than an idle consumer polls; and if the member is idle, commits an offset again that
    /// is committed already. librdkafka would find out only by the session time-out that the member may no longer be in its
    /// group.
    fn polled(&self) {
        let now = Instant::now();
        if now.duration_since(self.reported_at.get()) < POLL {
            return;
        }
        self.reported_at.set(now);
        self.report();
        let context = self.consumer.context();
        let committed = {
            let mut seen = context.seen();
            let is_idle = !self.applying
                && seen.membership.is_member
                && self.held_back.is_empty()
                && now.duration_since(self.received_at.get()) >= PROBE_AFTER;
            let last = seen.probed_at.map_or(seen.commit_at, |probed_at| seen.commit_at.max(probed_at));
            if !is_idle || now.duration_since(last) < PROBE_AFTER {
                return;
            }
            // The coordinator has answered the last probe by now, and it is not refused unless that was noted since.
            if let Some(probed_at) = seen.probed_at.replace(now) {
                context.refusals.ends(&context.read_group(), probed_at);
            }
            seen.membership.committed.clone()
        };
        let Ok(assigned) = self.consumer.assignment() else { return };
        let still_assigned = |partition| assigned.find_partition(&context.topic, partition).is_some();
        let Some((partition, offset)) = committed.into_iter().find(|(partition, _)| still_assigned(*partition)) else {
            return;
        };
        let mut one = TopicPartitionList::new();
        let tried = one
            .add_partition_offset(&context.topic, partition, Offset::Offset(offset))
            .and_then(|()| self.consumer.commit(&one, CommitMode::Async));
        if let Err(error) = tried {
            tracing::debug!(%error, "offset not committed again");
        }
    }

    /// Waits for the next message, at most `timeout`.
    pub(crate) fn poll(&self, timeout: Duration) -> Option<IncomingMessage> {
        let received = self.consumer.poll(timeout);
        self.polled();
        match received? {
            Ok(message) => {
                self.received_at.set(Instant::now());
                Some(IncomingMessage::from_borrowed(&message))
            }
            Err(error) => {
                tracing::debug!(%error, "fetch failed, retrying");
                // `poll` returns errors at once: without a pause the loop would fill the log and use a whole core.
                std::thread::sleep(POLL);
                None
            }
        }
    }

    /// Polls while the partitions are paused, so that the member stays in its group. Holds back a message of a partition that
    /// was assigned just now and is not paused yet.
    pub(crate) fn hold_back(&mut self, timeout: Duration) {
        let received = self.poll(timeout);
        self.held_back.extend(received);
    }

    /// The messages that were held back, which are not kept any longer.
    pub(crate) fn take_held_back(&mut self) -> Vec<IncomingMessage> {
        std::mem::take(&mut self.held_back)
    }

    /// Pauses or resumes all assigned partitions, including those assigned since the last call. librdkafka keeps a partition
    /// paused that was revoked while it was paused, also when it is assigned again.
    pub(crate) fn set_paused(&mut self, paused: bool) {
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
                tracing::warn!(%error, paused, "partitions could not be paused or resumed, retrying");
            }
        }
    }

    /// Stores the offsets after the messages of a batch that was applied.
    pub(crate) fn store_offsets(&mut self, batch: &[IncomingMessage]) {
        self.applying = false;
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
            // librdkafka refuses a partition that was revoked meanwhile. Its new owner applies the messages again, which is
            // harmless.
            if let Err(error) = stored {
                tracing::debug!(%error, topic, partition, "offset not stored");
            }
        }
    }
}

impl Drop for Member {
    /// The consumer, which is dropped next, leaves the group.
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_member_answers_one_rebalance_event() {
        let context = Context::new(&KafkaSettings::for_group("group"), "topic");
        assert!(context.may_answer() && context.may_answer());
        context.closing.store(true, Ordering::SeqCst);
        assert!(context.may_answer());
        assert!(!context.may_answer() && !context.may_answer());
    }
}
