//! The producer: takes outbox rows, sends them, and tells which were acknowledged.

use crate::KafkaSettings;
use crate::client::{self, LastTrouble};
use crate::outbox::OutboxRow;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// The outbox ids of acknowledged messages go to `acknowledged`.
pub(crate) struct Deliveries {
    acknowledged: Sender<i64>,
    trouble: LastTrouble,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
        self.trouble.note_line(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::error(&error, reason);
        self.trouble.note(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<i64>;

    fn delivery(&self, result: &DeliveryResult<'_>, outbox_id: Box<i64>) {
        match result {
            Ok(_) => {
                metrics::counter!("events_delivered_total").increment(1);
                // Nobody listens any more only when the relay is stopping: then the row stays and is sent again.
                let _ = self.acknowledged.send(*outbox_id);
            }
            Err((error, _)) => {
                metrics::counter!("events_delivery_failed_total").increment(1);
                tracing::debug!(%error, "an event was not acknowledged in time; the sweeper sends it again");
            }
        }
    }
}

pub(crate) struct Producer {
    inner: ThreadedProducer<Deliveries>,
    metadata_timeout: Duration,
}

impl Producer {
    pub(crate) fn new(settings: &KafkaSettings, acknowledged: Sender<i64>) -> Result<Self, KafkaError> {
        let inner = client::configuration(settings)
            .set("acks", "all")
            .set("enable.idempotence", "false")
            // librdkafka's default differs from Java's: every client library must put one claim in one partition.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", settings.producer.linger_ms.to_string())
            .set("queue.buffering.max.messages", settings.producer.max_queued_messages.to_string())
            .set("message.timeout.ms", settings.producer.delivery_timeout_ms.to_string())
            .create_with_context(Deliveries { acknowledged, trouble: LastTrouble::default() })?;
        Ok(Self { inner, metadata_timeout: Duration::from_millis(settings.health_interval_ms) })
    }

    /// Queues a row without waiting. `false`: the queue is full, and the row stays with the sweeper.
    pub(crate) fn send(&self, row: &OutboxRow) -> bool {
        let Ok(pairs) = serde_json::from_str::<Vec<(String, String)>>(&row.headers) else {
            tracing::error!(outbox_id = row.id, "the headers of an event in the outbox cannot be read; it is not sent");
            return true;
        };
        let headers = pairs.iter().fold(OwnedHeaders::new_with_capacity(pairs.len()), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        let record = BaseRecord::with_opaque_to(&row.topic, Box::new(row.id))
            .key(&row.message_key)
            .payload(&row.body)
            .headers(headers);
        match self.inner.send(record) {
            Ok(()) => true,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => false,
            Err((error, _)) => {
                tracing::error!(%error, outbox_id = row.id, "an event could not be queued; the sweeper tries again");
                true
            }
        }
    }

    /// What the cluster says of itself. All topics are asked for: some brokers make one that is asked for by its name.
    pub(crate) fn metadata(&self) -> Result<Metadata, String> {
        let trouble = &self.inner.context().trouble;
        match self.inner.client().fetch_metadata(None, self.metadata_timeout) {
            Ok(metadata) => {
                trouble.forget();
                Ok(metadata)
            }
            Err(error) => Err(trouble.sentence(&error)),
        }
    }

    /// Waits until everything queued is acknowledged or given up, at most `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) {
        if let Err(error) = self.inner.flush(timeout) {
            tracing::warn!(%error, "not every event was acknowledged before the stop; they are sent at the next start");
        }
    }
}
