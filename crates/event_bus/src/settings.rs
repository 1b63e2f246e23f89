//! Settings of everything between a service and Kafka. Times are milliseconds.

use crate::SecuritySettings;
use serde::{Deserialize, Serialize};
use validator::Validate;

/// How to reach Kafka and how to use it.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Bootstrap servers, `host:port` separated by commas.
    #[validate(length(min = 1, message = "name at least one broker, for example 127.0.0.1:9092"))]
    pub brokers: String,
    /// The largest message taken or sent, in bytes.
    #[validate(range(min = 1_000, max = 1_000_000_000, message = "must be 1000 to 1000000000"))]
    pub max_message_bytes: usize,
    /// TLS and SASL.
    #[validate(nested)]
    pub security: SecuritySettings,
    /// The topics, should they be missing.
    #[validate(nested)]
    pub topics: TopicSettings,
    /// Sending.
    #[validate(nested)]
    pub producer: ProducerSettings,
    /// The outbox and what empties it.
    #[validate(nested)]
    pub outbox: OutboxSettings,
    /// Receiving.
    #[validate(nested)]
    pub consumer: ConsumerSettings,
}

/// How a topic is made that is missing.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// Partitions. A topic that is there with others is reported and never altered.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub partitions: i32,
    /// On how many brokers each partition is kept.
    #[validate(range(min = 1, max = 100, message = "must be 1 to 100"))]
    pub replication_factor: i32,
    /// How long messages are kept.
    #[validate(range(min = 1, max = 316_224_000_000_i64, message = "must be 1 to 316224000000"))]
    pub retention_ms: i64,
    /// How long looking for topics and making them may take.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub create_timeout_ms: u64,
}

/// Sending. Acknowledged by all replicas; not idempotent, because versions in the events make repeats harmless, and
/// because a wiped cluster issues producer ids anew.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ProducerSettings {
    /// How long a message waits for others to share its request.
    pub linger_ms: u64,
    /// Messages waiting to be sent; more than these stay in the outbox until the sweeper takes them.
    #[validate(range(min = 1, max = 10_000_000, message = "must be 1 to 10000000"))]
    pub max_queued_messages: usize,
    /// How long a message may take until it is acknowledged; then the sweeper sends it anew.
    #[validate(range(min = 100, max = 86_400_000, message = "must be 100 to 86400000"))]
    pub delivery_timeout_ms: u64,
    /// How long a stopping service waits for messages on their way.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub flush_timeout_ms: u64,
}

/// The outbox and what empties it.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct OutboxSettings {
    /// How often the sweeper looks for rows that a crash or a lost message left behind.
    #[validate(range(min = 10, max = 86_400_000, message = "must be 10 to 86400000"))]
    pub sweep_interval_ms: u64,
    /// Rows the sweeper takes at a time.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub sweep_batch: i64,
    /// Rows deleted in one statement once they are delivered.
    #[validate(range(min = 1, max = 10_000, message = "must be 1 to 10000"))]
    pub delete_batch: usize,
    /// How long deliveries are gathered before their rows are deleted.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub delete_linger_ms: u64,
}

/// Receiving, as one member of a consumer group.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// The consumer group; every instance of a service is in the same one.
    #[validate(length(min = 1, message = "name the consumer group"))]
    pub group_id: String,
    /// How long a member may be silent before its partitions go to others.
    #[validate(range(min = 1_000, max = 3_600_000, message = "must be 1000 to 3600000"))]
    pub session_timeout_ms: u64,
    /// How long a batch may take before the member counts as stuck.
    #[validate(range(min = 1_000, max = 86_400_000, message = "must be 1000 to 86400000"))]
    pub max_poll_interval_ms: u64,
    /// Messages handled in one transaction.
    #[validate(range(min = 1, max = 100_000, message = "must be 1 to 100000"))]
    pub max_batch_messages: usize,
    /// How long the first message of a batch waits for others.
    pub batch_linger_ms: u64,
    /// How long the broker may hold a fetch back to fill it.
    pub fetch_wait_max_ms: u64,
    /// Kilobytes prefetched.
    #[validate(range(min = 1, max = 2_097_151, message = "must be 1 to 2097151"))]
    pub max_prefetch_kbytes: u64,
    /// The first pause before a batch that failed is tried again; it doubles from there.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub retry_pause_ms: u64,
    /// The longest such pause.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub max_retry_pause_ms: u64,
    /// How often a message that the database refuses (not: that finds it gone) is tried before it is a dead letter.
    #[validate(range(min = 1, max = 1_000, message = "must be 1 to 1000"))]
    pub max_attempts: u32,
    /// How long a stopping consumer may take to leave its group.
    #[validate(range(min = 1, max = 86_400_000, message = "must be 1 to 86400000"))]
    pub close_timeout_ms: u64,
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
                linger_ms: 5,
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
                max_poll_interval_ms: 60_000,
                max_batch_messages: 500,
                batch_linger_ms: 10,
                fetch_wait_max_ms: 10,
                max_prefetch_kbytes: 16_384,
                retry_pause_ms: 100,
                max_retry_pause_ms: 5_000,
                max_attempts: 5,
                close_timeout_ms: 10_000,
            },
        }
    }
}
