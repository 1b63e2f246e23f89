//! A member of a consumer group: polling, pausing, storing offsets, and its part in a rebalance.

use crate::{IncomingMessage, KafkaSettings, client};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a poll waits for a message.
pub(crate) const POLL: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Context {
    assignment_changed: AtomicBool,
    /// The member is leaving its group.
    closing: AtomicBool,
    /// The closing member has answered a rebalance event.
    answered_close: AtomicBool,
}

impl Context {
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
            .create_with_context(Context::default())?;
        consumer.subscribe(&[topic])?;
        Ok(Self { consumer, paused: false, held_back: Vec::new() })
    }

    /// Waits for the next message, at most `timeout`.
    pub(crate) fn poll(&self, timeout: Duration) -> Option<IncomingMessage> {
        match self.consumer.poll(timeout)? {
            Ok(message) => Some(IncomingMessage::from_borrowed(&message)),
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
    pub(crate) fn store_offsets(&self, batch: &[IncomingMessage]) {
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
        let context = Context::default();
        assert!(context.may_answer() && context.may_answer());
        context.closing.store(true, Ordering::SeqCst);
        assert!(context.may_answer());
        assert!(!context.may_answer() && !context.may_answer());
    }
}
