//! Settings of the connection between a service and Kafka. Times are in milliseconds.

use crate::SecuritySettings;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use validator::Validate;

/// The connection to Kafka, the topics, the producer and the consumer.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Bootstrap servers, `host:port` separated by commas.
    #[validate(length(min = 1, message = "name at least one broker, for example 127.0.0.1:9092"))]
    pub brokers: String,
    /// The largest message that is consumed or published, in bytes.
    #[validate(range(min = 1_000, max = 1_000_000_000, message = "must be 1000 to 1000000000"))]
    pub max_message_bytes: usize,
    /// TLS and SASL.
    #[validate(nested)]
    pub security: SecuritySettings,
    /// How missing topics are created.
    #[validate(nested)]
    pub topics: TopicSettings,
    /// The producer.
    #[validate(nested)]
    pub producer: ProducerSettings,
    /// The outbox, its sweeper and its keeper.
    #[validate(nested)]
    pub outbox: OutboxSettings,
    /// The consumer.
    #[validate(nested)]
    pub consumer: ConsumerSettings,
}

/// How a missing topic is created.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// Number of partitions. An existing topic with another number is reported and never altered.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub partitions: i32,
    /// The number of replicas of each partition.
    #[validate(range(min = 1, max = 100, message = "must be 1 to 100"))]
    pub replication_factor: i32,
    /// How long the brokers keep messages.
    #[validate(range(min = 1, max = 316_224_000_000_i64, message = "must be 1 to 316224000000"))]
    pub retention_ms: i64,
    /// Time-out of creating topics.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub create_timeout_ms: u64,
}

/// The producer. A message is published when all replicas have acknowledged it. The producer is not idempotent, because the
/// versions in the events make duplicates harmless, and because a wiped cluster reissues producer ids.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ProducerSettings {
    /// Under load, how long after messages were handed to Kafka's client the next are, so that batches are larger. A message after
    /// a rest waits for no other.
    #[validate(range(max = 10_000, message = "must be at most 10000"))]
    pub interval_ms: u64,
    /// How long each message then waits in Kafka's client for others to be sent in one batch.
    pub linger_ms: u64,
    /// The most messages in the producer's queue; further ones stay in the outbox until the sweeper sends them.
    #[validate(range(min = 1, max = 10_000_000, message = "must be 1 to 10000000"))]
    pub max_queued_messages: usize,
    /// How long a message may be unacknowledged before the producer gives it up and the sweeper sends it again.
    #[validate(range(min = 100, max = 86_400_000, message = "must be 100 to 86400000"))]
    pub delivery_timeout_ms: u64,
    /// How long a stopping service waits for unacknowledged messages.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub flush_timeout_ms: u64,
}

/// The outbox, its sweeper and its keeper.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct OutboxSettings {
    /// How often the sweeper looks for rows that were not published or not acknowledged.
    #[validate(range(min = 10, max = 86_400_000, message = "must be 10 to 86400000"))]
    pub sweep_interval_ms: u64,
    /// The most rows that the sweeper sends in one run.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub sweep_batch: i64,
    /// The most delivered rows that are deleted in one statement.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub delete_batch: usize,
    /// How long delivery reports are collected before their rows are deleted.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub delete_linger_ms: u64,
}

/// The consumer, one member of a consumer group.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// The consumer group, the same for every instance of a service.
    #[validate(length(min = 1, message = "name the consumer group"))]
    pub group_id: String,
    /// How long a member may send no heartbeat before its partitions are reassigned.
    #[validate(range(min = 1_000, max = 3_600_000, message = "must be 1000 to 3600000"))]
    pub session_timeout_ms: u64,
    /// How long the consumer waits for a place in its group before it joins with a new client, and at least two and a half session
    /// time-outs: a group may wait two of them for a member that was killed.
    #[validate(range(min = 1_000, max = 3_600_000, message = "must be 1000 to 3600000"))]
    pub join_timeout_ms: u64,
    /// How long a batch may take before the member's partitions are reassigned.
    #[validate(range(min = 1_000, max = 86_400_000, message = "must be 1000 to 86400000"))]
    pub max_poll_interval_ms: u64,
    /// The most messages that are applied in one transaction.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub max_batch_messages: usize,
    /// Under load, how long after the beginning of one batch the next begins, so that batches are larger. A message after a rest
    /// waits for no other, and what is behind a full batch does not wait.
    #[validate(range(max = 10_000, message = "must be at most 10000"))]
    pub batch_linger_ms: u64,
    /// How long the broker may hold a fetch while it has no message. It answers as soon as it has one.
    #[validate(range(max = 300_000, message = "must be at most 300000"))]
    pub fetch_wait_max_ms: u64,
    /// How long no partition is fetched again after messages were fetched that are not taken yet, so that fetches are larger.
    #[validate(range(max = 300_000, message = "must be at most 300000"))]
    pub fetch_pause_ms: u64,
    /// The most kilobytes that are prefetched.
    #[validate(range(min = 1, max = 2_097_151, message = "must be 1 to 2097151"))]
    pub max_prefetch_kbytes: u64,
    /// The pause before the first retry of a failed batch; it doubles with each retry.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub retry_pause_ms: u64,
    /// The longest pause before a retry.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub max_retry_pause_ms: u64,
    /// How often the database refuses a message that is tried alone, before it becomes a dead letter. A probe must succeed after
    /// each refusal, or the count starts again.
    #[validate(range(min = 1, max = 1_000, message = "must be 1 to 1000"))]
    pub max_attempts: u32,
    /// For how long the database fails a message alone without a reason that has a kind, while every probe succeeds, before the
    /// message becomes a dead letter. Such a reason may also pass, as when another session holds a lock on its rows. So this is
    /// longer than most such troubles last; where several messages fail and none of them can be applied, it is twelve times as
    /// long.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub poison_after_ms: u64,
    /// How long a stopping consumer may take to leave its group.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub close_timeout_ms: u64,
}

impl ConsumerSettings {
    /// How long the consumer waits for a place in its group before it joins with a new client.
    pub(crate) fn join_timeout(&self) -> Duration {
        Duration::from_millis(self.join_timeout_ms.max(self.session_timeout_ms.saturating_mul(5) / 2))
    }
}

impl KafkaSettings {
    /// The defaults, for a member of the group `group_id`.
    pub fn for_group(group_id: &str) -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            max_message_bytes: 1_000_000,
            security: SecuritySettings::default(),
            topics: TopicSettings {
                partitions: 12,
                replication_factor: 1,
                retention_ms: 7 * 24 * 3_600 * 1_000,
                create_timeout_ms: 5_000,
            },
            producer: ProducerSettings {
                interval_ms: 20,
                linger_ms: 1,
                max_queued_messages: 50_000,
                delivery_timeout_ms: 10_000,
                flush_timeout_ms: 5_000,
            },
            outbox: OutboxSettings {
                sweep_interval_ms: 1_000,
                sweep_batch: 1_000,
                delete_batch: 2_000,
                delete_linger_ms: 50,
            },
            consumer: ConsumerSettings {
                group_id: group_id.to_owned(),
                session_timeout_ms: 10_000,
                join_timeout_ms: 25_000,
                max_poll_interval_ms: 60_000,
                max_batch_messages: 500,
                batch_linger_ms: 20,
                fetch_wait_max_ms: 100,
                fetch_pause_ms: 10,
                max_prefetch_kbytes: 16_384,
                retry_pause_ms: 100,
                max_retry_pause_ms: 5_000,
                max_attempts: 5,
                poison_after_ms: 300_000,
                close_timeout_ms: 10_000,
            },
        }
    }
}
