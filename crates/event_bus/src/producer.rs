//! The producer: sends outbox rows, and reports the result of each.
//!
//! A broker refuses a batch as a whole, even if only one of its messages is too large. So each message of a refused batch is
//! sent again in a batch of its own, and only one that is refused again is unpublishable.

use crate::KafkaSettings;
use crate::client::{self, LastBrokerError};
use crate::outbox::OutboxRow;
use crate::refusals::{Operation, Refusals};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The result of sending a row, by its id in the outbox. The sweeper sends rows again that have none.
#[derive(Debug)]
pub(crate) enum Report {
    /// Kafka has acknowledged it.
    Acknowledged(i64),
    /// The broker refused the batch it was in, because of any message of that batch.
    RefusedWithOthers(i64),
    /// It can never be published, for this reason.
    Unpublishable(i64, String),
    /// Kafka has not taken it, for this reason; it is sent again.
    NotTaken(String),
}

pub(crate) struct Deliveries {
    reports: Sender<Report>,
    /// Whether each message is in a batch of its own.
    alone: bool,
    last_error: LastBrokerError,
    shared: Arc<Shared>,
}

/// What the clients of a producer share.
struct Shared {
    refusals: Refusals,
    /// The number of messages that are queued or sent, and neither acknowledged nor given up.
    unacknowledged: AtomicUsize,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
        self.last_error.note_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
        self.last_error.note(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<i64>;

    fn delivery(&self, result: &DeliveryResult<'_>, outbox_id: Box<i64>) {
        self.shared.unacknowledged.fetch_sub(1, Ordering::SeqCst);
        match result {
            Ok(message) => {
                metrics::counter!("events_delivered_total").increment(1);
                if !self.shared.refusals.is_empty() {
                    self.shared.refusals.ends(&Operation::WriteTopic(message.topic().to_owned()), Instant::now());
                }
                // The channel is closed only while the relay stops: then the row stays and is sent at the next start.
                let _ = self.reports.send(Report::Acknowledged(*outbox_id));
            }
            Err((KafkaError::MessageProduction(code), message)) if refuses_the_message(*code) => {
                metrics::counter!("events_delivery_failed_total").increment(1);
                let report = if self.alone {
                    let advice = match code {
                        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
                            format!(": raise max.message.bytes of the topic {} and redrive it", message.topic())
                        }
                        _ => String::new(),
                    };
                    Report::Unpublishable(*outbox_id, format!("Kafka refuses it: {code}{advice}"))
                } else {
                    Report::RefusedWithOthers(*outbox_id)
                };
                let _ = self.reports.send(report);
            }
            Err((error, message)) => {
                metrics::counter!("events_delivery_failed_total").increment(1);
                tracing::debug!(%error, "event not acknowledged in time, left to the sweeper");
                let _ = self.reports.send(Report::NotTaken(self.not_taken(error, message.topic())));
            }
        }
    }
}

impl Deliveries {
    /// A sentence about an event that Kafka has not taken. Keeps that it refuses the topic.
    fn not_taken(&self, error: &KafkaError, topic: &str) -> String {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
            self.shared.refusals.begins(&Operation::WriteTopic(topic.to_owned()), "Topic authorization failed");
        }
        self.shared.refusals.sentence().unwrap_or_else(|| {
            format!("Kafka does not acknowledge events ({error}): they wait in the outbox and are sent again")
        })
    }
}

/// Whether a broker refuses the message itself, and would refuse it again.
fn refuses_the_message(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidRecord
    )
}

pub(crate) struct Producer {
    inner: ThreadedProducer<Deliveries>,
    /// Sends each message in a batch of its own. Created when a batch is first refused, which is rare.
    alone: OnceLock<ThreadedProducer<Deliveries>>,
    settings: KafkaSettings,
    reports: Sender<Report>,
    shared: Arc<Shared>,
}

impl Producer {
    /// Creates a producer that sends the result of each row to `reports`.
    pub(crate) fn new(settings: &KafkaSettings, reports: Sender<Report>) -> Result<Self, KafkaError> {
        let shared = Arc::new(Shared { refusals: Refusals::new(settings), unacknowledged: AtomicUsize::new(0) });
        let inner = Self::client(settings, reports.clone(), &shared, false)?;
        Ok(Self { inner, alone: OnceLock::new(), settings: settings.clone(), reports, shared })
    }

    /// Whether messages are queued or not acknowledged yet.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        self.shared.unacknowledged.load(Ordering::SeqCst) > 0
    }

    fn client(
        settings: &KafkaSettings,
        reports: Sender<Report>,
        shared: &Arc<Shared>,
        alone: bool,
    ) -> Result<ThreadedProducer<Deliveries>, KafkaError> {
        let mut configuration = client::configuration(settings);
        if alone {
            configuration.set("batch.num.messages", "1");
        }
        configuration
            .set("acks", "all")
            .set("enable.idempotence", "false")
            // librdkafka's default differs from Java's, but every client library must choose the same partition for a key.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", settings.producer.linger_ms.to_string())
            .set("queue.buffering.max.messages", settings.producer.max_queued_messages.to_string())
            .set("message.timeout.ms", settings.producer.delivery_timeout_ms.to_string())
            .create_with_context(Deliveries {
                reports,
                alone,
                last_error: LastBrokerError::default(),
                shared: Arc::clone(shared),
            })
    }

    /// Queues a row without waiting. Returns `false` if the queue is full: the sweeper then sends the row.
    pub(crate) fn send(&self, row: &OutboxRow) -> bool {
        self.send_by(&self.inner, row)
    }

    /// Queues a row to be sent in a batch of its own. The sweeper sends a row that cannot be queued.
    pub(crate) fn send_alone(&self, row: &OutboxRow) {
        if self.alone.get().is_none() {
            match Self::client(&self.settings, self.reports.clone(), &self.shared, true) {
                Ok(client) => drop(self.alone.set(client)),
                Err(error) => {
                    tracing::warn!(%error, outbox_id = row.id, "event could not be sent in its own batch, left to the sweeper");
                    return;
                }
            }
        }
        if let Some(client) = self.alone.get() {
            self.send_by(client, row);
        }
    }

    /// Reports that a row can never be published.
    pub(crate) fn give_up(&self, id: i64, why: impl Into<String>) -> bool {
        let _ = self.reports.send(Report::Unpublishable(id, why.into()));
        true
    }

    fn send_by(&self, client: &ThreadedProducer<Deliveries>, row: &OutboxRow) -> bool {
        let pairs = match serde_json::from_str::<Vec<(String, String)>>(&row.headers) {
            // librdkafka takes a header's name as a C string, which cannot hold a NUL.
            Ok(pairs) if !pairs.iter().any(|(name, _)| name.contains('\0')) => pairs,
            _ => return self.give_up(row.id, "its headers in the outbox cannot be read"),
        };
        let headers = pairs.iter().fold(OwnedHeaders::new_with_capacity(pairs.len()), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        let record = BaseRecord::with_opaque_to(&row.topic, Box::new(row.id)).key(&row.message_key).headers(headers);
        // No event has an empty body: it is that of a tombstone, which was dead-lettered and is redriven.
        let record = if row.body.is_empty() { record } else { record.payload(&row.body) };
        // Before it is sent: its delivery report may come at once.
        self.shared.unacknowledged.fetch_add(1, Ordering::SeqCst);
        let sent = client.send(record);
        if sent.is_err() {
            self.shared.unacknowledged.fetch_sub(1, Ordering::SeqCst);
        }
        match sent {
            Ok(()) => true,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => false,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                self.give_up(row.id, "it is larger than the setting kafka.max_message_bytes allows")
            }
            Err((error @ KafkaError::Nul(_), _)) => {
                self.give_up(row.id, format!("its topic is not a valid name: {error}"))
            }
            // librdkafka knows from the last metadata that the topic may not be written to.
            Err((error @ KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => {
                let why = client.context().not_taken(&error, &row.topic);
                let _ = self.reports.send(Report::NotTaken(why));
                true
            }
            Err((error, _)) => {
                tracing::error!(%error, outbox_id = row.id, "event could not be queued, left to the sweeper");
                true
            }
        }
    }

    /// Fetches the metadata of the cluster within `timeout`, for all topics: some brokers create a topic that is requested by
    /// name.
    pub(crate) fn metadata(&self, timeout: Duration) -> Result<Metadata, String> {
        let last_error = &self.inner.context().last_error;
        match self.inner.client().fetch_metadata(None, timeout) {
            Ok(metadata) => {
                last_error.forget();
                Ok(metadata)
            }
            Err(error) => Err(last_error.sentence(&error)),
        }
    }

    /// Waits until every queued message is acknowledged or given up, at most `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) {
        if let Err(error) = self.inner.flush(timeout) {
            tracing::warn!(%error, "events not acknowledged before the stop, sent at the next start");
        }
    }
}
