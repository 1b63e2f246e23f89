//! What librdkafka reports of a member of a consumer group, and the member's part in a rebalance. Its callbacks run while the
//! member polls.

use crate::membership::Membership;
use crate::refusals::{Operation, Refusals};
use crate::{KafkaSettings, client};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What librdkafka reports of a member, and how the member answers a rebalance.
pub(crate) struct Context {
    pub(crate) topic: String,
    group: String,
    pub(crate) refusals: Refusals,
    seen: Mutex<Seen>,
    pub(crate) assignment_changed: AtomicBool,
    /// The member is leaving its group.
    pub(crate) closing: AtomicBool,
    /// The closing member has answered a rebalance event.
    answered_close: AtomicBool,
}

/// What librdkafka has reported of the member.
pub(crate) struct Seen {
    pub(crate) membership: Membership,
    /// When it last became a member.
    joined_at: Instant,
    /// The last statistics.
    pub(crate) statistics_at: Instant,
    /// The last commit that succeeded.
    pub(crate) commit_at: Instant,
    /// When a probe last tried to commit.
    pub(crate) probed_at: Option<Instant>,
}

impl Context {
    pub(crate) fn new(settings: &KafkaSettings, topic: &str) -> Self {
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

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read_group(&self) -> Operation {
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
    /// A commit proves the right to the group. That to the topic is proved by fetches, whose errors may still be queued here.
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.seen().commit_at = now;
                if !self.refusals.is_empty() {
                    self.refusals.ends(&self.read_group(), now);
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
