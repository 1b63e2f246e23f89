//! A member of a consumer group: polling, pausing, storing offsets, and reporting whether it can do its work.

use crate::member_context::Context;
use crate::{IncomingMessage, KafkaSettings, client};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_threads::Worker;

/// How long a poll waits for a message.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// How often librdkafka reports its statistics.
const STATISTICS_EVERY: Duration = Duration::from_secs(2);

/// How long a member may be idle before it commits an offset again, to find out whether it still may.
const PROBE_AFTER: Duration = Duration::from_secs(3);

/// A member of the group. Dropping it leaves the group.
pub(crate) struct Member {
    consumer: BaseConsumer<Context>,
    worker: Worker,
    /// When it last received a message or stored an offset.
    busy_at: Cell<Instant>,
    reported_at: Cell<Instant>,
    /// Whether messages that were received are not applied yet.
    applying: bool,
    paused: bool,
    /// Messages that were received while the partitions were paused. They must be applied before later ones of their
    /// partition: an offset stored past them would skip them.
    held_back: Vec<IncomingMessage>,
    settings: KafkaSettings,
    /// When it was last a member, or joined.
    member_at: Instant,
    /// Closes the client that [`Member::join_again`] has replaced.
    closing: Option<JoinHandle<()>>,
}

/// A client that joins the group of the settings and subscribes to `topic`.
fn connect(settings: &KafkaSettings, topic: &str) -> Result<BaseConsumer<Context>, KafkaError> {
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
        // Brokers pay for each fetch and each partition in it. What is fetched is taken first, and only then is more fetched,
        // after a pause: under load the messages of the pause come in one fetch.
        .set("queued.min.messages", "1")
        .set("fetch.queue.backoff.ms", consumer_settings.fetch_pause_ms.to_string())
        .set("fetch.message.max.bytes", settings.max_message_bytes.to_string())
        .set("queued.max.messages.kbytes", consumer_settings.max_prefetch_kbytes.to_string())
        .set("statistics.interval.ms", STATISTICS_EVERY.as_millis().to_string())
        .create_with_context(Context::new(settings, topic))?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

impl Member {
    /// Joins the group of the settings and subscribes to `topic`.
    pub(crate) fn join(settings: &KafkaSettings, topic: &str) -> Result<Self, KafkaError> {
        let now = Instant::now();
        Ok(Self {
            consumer: connect(settings, topic)?,
            worker: Worker::starting(),
            busy_at: Cell::new(now),
            reported_at: Cell::new(now),
            applying: false,
            paused: false,
            held_back: Vec::new(),
            settings: settings.clone(),
            member_at: now,
            closing: None,
        })
    }

    /// Joins with a new client if the present one has had no place in its group for the join time-out. After a broker was frozen,
    /// librdkafka was seen to stay without one for more than a minute while the broker answered again. A client that is refused
    /// stays: a new one would be refused too.
    ///
    /// The old client is closed on a thread of its own, since that may take long. Until then there is no further attempt.
    pub(crate) fn join_again(&mut self) {
        let context = self.consumer.context();
        let now = Instant::now();
        if context.seen().membership.is_member || context.refusals.sentence().is_some() {
            self.member_at = now;
            return;
        }
        let join_timeout = self.settings.consumer.join_timeout();
        let is_closing = self.closing.as_ref().is_some_and(|closing| !closing.is_finished());
        if now.duration_since(self.member_at) < join_timeout || is_closing {
            return;
        }
        self.member_at = now;
        match connect(&self.settings, &context.topic) {
            Ok(consumer) => {
                tracing::info!("no place in the consumer group within the join time-out, joining with a new client");
                let old = std::mem::replace(&mut self.consumer, consumer);
                old.context().closing.store(true, Ordering::SeqCst);
                self.closing = Some(worker_threads::spawn("consumer close", move || drop(old)));
                self.paused = false;
                // Their offsets were not stored: the group's next owner of their partitions gets them.
                self.held_back.clear();
            }
            Err(error) => tracing::warn!(%error, "no new client for the consumer group"),
        }
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
                // By then librdkafka has committed what was stored, and its statistics show that: an older offset is not committed.
                && seen.statistics_at.saturating_duration_since(self.busy_at.get()) >= PROBE_AFTER;
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
                self.busy_at.set(Instant::now());
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
        self.busy_at.set(Instant::now());
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
