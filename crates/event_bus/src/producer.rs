//! The producer: takes outbox rows, sends them, and reports what became of each.
//!
//! A broker refuses a batch as a whole, also where only one message of it is too large. So what was refused with others is
//! sent once more, each alone, and only what is refused then is given up.

use crate::KafkaSettings;
use crate::client::{self, LastTrouble};
use crate::outbox::OutboxRow;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use std::sync::OnceLock;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// What became of a row, by its id in the outbox. Of a row of which nothing is reported, the sweeper takes care.
#[derive(Debug)]
pub(crate) enum Report {
    /// Kafka has it.
    Acknowledged(i64),
    /// The broker refused it with a batch, for whichever message of it.
    RefusedWithOthers(i64),
    /// It can never be published, and why.
    Unpublishable(i64, String),
}

pub(crate) struct Deliveries {
    reports: Sender<Report>,
    /// Whether each message is a batch of its own.
    alone: bool,
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
                let _ = self.reports.send(Report::Acknowledged(*outbox_id));
            }
            Err((KafkaError::MessageProduction(code), _)) if refuses_the_message(*code) => {
                metrics::counter!("events_delivery_failed_total").increment(1);
                let report = if self.alone {
                    Report::Unpublishable(*outbox_id, format!("Kafka refuses it: {code}"))
                } else {
                    Report::RefusedWithOthers(*outbox_id)
                };
                let _ = self.reports.send(report);
            }
            Err((error, _)) => {
                metrics::counter!("events_delivery_failed_total").increment(1);
                tracing::debug!(%error, "an event was not acknowledged in time; the sweeper sends it again");
            }
        }
    }
}

/// Whether a broker says so of what it was sent, and will say so again.
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
    /// Sends each message as a batch of its own. Made when it is first needed, which is hardly ever.
    alone: OnceLock<ThreadedProducer<Deliveries>>,
    settings: KafkaSettings,
    reports: Sender<Report>,
}

impl Producer {
    /// What becomes of the rows goes to `reports`.
    pub(crate) fn new(settings: &KafkaSettings, reports: Sender<Report>) -> Result<Self, KafkaError> {
        let inner = Self::client(settings, reports.clone(), false)?;
        Ok(Self { inner, alone: OnceLock::new(), settings: settings.clone(), reports })
    }

    fn client(
        settings: &KafkaSettings,
        reports: Sender<Report>,
        alone: bool,
    ) -> Result<ThreadedProducer<Deliveries>, KafkaError> {
        let mut configuration = client::configuration(settings);
        if alone {
            configuration.set("batch.num.messages", "1");
        }
        configuration
            .set("acks", "all")
            .set("enable.idempotence", "false")
            // librdkafka's default differs from Java's: every client library must put one claim in one partition.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", settings.producer.linger_ms.to_string())
            .set("queue.buffering.max.messages", settings.producer.max_queued_messages.to_string())
            .set("message.timeout.ms", settings.producer.delivery_timeout_ms.to_string())
            .create_with_context(Deliveries { reports, alone, trouble: LastTrouble::default() })
    }

    /// Queues a row without waiting. `false`: the queue is full, and the row stays with the sweeper.
    pub(crate) fn send(&self, row: &OutboxRow) -> bool {
        self.send_by(&self.inner, row)
    }

    /// The same, in a batch of its own. A row that cannot be queued stays with the sweeper.
    pub(crate) fn send_alone(&self, row: &OutboxRow) {
        if self.alone.get().is_none() {
            match Self::client(&self.settings, self.reports.clone(), true) {
                Ok(client) => drop(self.alone.set(client)),
                Err(error) => {
                    tracing::warn!(%error, outbox_id = row.id, "an event could not be sent alone; the sweeper tries again");
                    return;
                }
            }
        }
        if let Some(client) = self.alone.get() {
            self.send_by(client, row);
        }
    }

    fn give_up(&self, row: &OutboxRow, why: impl Into<String>) -> bool {
        let _ = self.reports.send(Report::Unpublishable(row.id, why.into()));
        true
    }

    fn send_by(&self, client: &ThreadedProducer<Deliveries>, row: &OutboxRow) -> bool {
        let pairs = match serde_json::from_str::<Vec<(String, String)>>(&row.headers) {
            // A name with a NUL in it has no place in a message.
            Ok(pairs) if !pairs.iter().any(|(name, _)| name.contains('\0')) => pairs,
            _ => return self.give_up(row, "its headers in the outbox cannot be read"),
        };
        let headers = pairs.iter().fold(OwnedHeaders::new_with_capacity(pairs.len()), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        let record = BaseRecord::with_opaque_to(&row.topic, Box::new(row.id))
            .key(&row.message_key)
            .payload(&row.body)
            .headers(headers);
        match client.send(record) {
            Ok(()) => true,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => false,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                self.give_up(row, "it is larger than the setting kafka.max_message_bytes allows")
            }
            Err((error @ KafkaError::Nul(_), _)) => self.give_up(row, format!("its topic is none: {error}")),
            Err((error, _)) => {
                tracing::error!(%error, outbox_id = row.id, "an event could not be queued; the sweeper tries again");
                true
            }
        }
    }

    /// What the cluster says of itself. All topics are asked for: some brokers make one that is asked for by its name.
    pub(crate) fn metadata(&self, timeout: Duration) -> Result<Metadata, String> {
        let trouble = &self.inner.context().trouble;
        match self.inner.client().fetch_metadata(None, timeout) {
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
