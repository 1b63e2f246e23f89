//! The producer: sends outbox rows, and reports the result of each.
//!
//! Brokers pay for each request and each partition in it, so a thread gathers the rows of concurrent transactions: under load it
//! hands them to librdkafka at an interval, and after a rest at once.
//!
//! A broker refuses a batch as a whole, even if only one of its messages is too large. So each message of a refused batch is
//! sent again in a batch of its own, and only one that is refused again is unpublishable.

use crate::KafkaSettings;
use crate::client::{self, LastBrokerError};
use crate::mailbox::Mailbox;
use crate::outbox::OutboxRow;
use crate::refusals::{Operation, Refusals};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_threads::{Pace, Periodic, Spacing};

/// How often delivery reports are handled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

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
    reports: Arc<Mailbox<Report>>,
    /// Whether each message is in a batch of its own.
    alone: bool,
    last_error: LastBrokerError,
    shared: Arc<Shared>,
}

/// What the clients of a producer share.
struct Shared {
    refusals: Refusals,
    /// The number of messages that are gathered, queued or sent, and neither acknowledged nor given up.
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
    /// The row's id: no allocation a message.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, outbox_id: usize) {
        let outbox_id = outbox_id.cast_signed() as i64;
        self.shared.unacknowledged.fetch_sub(1, Ordering::SeqCst);
        match result {
            Ok(message) => {
                if !self.shared.refusals.is_empty() {
                    self.shared.refusals.ends(&Operation::WriteTopic(message.topic().to_owned()), Instant::now());
                }
                // The mailbox is closed only while the relay stops: then the row stays and is sent at the next start.
                self.reports.put([Report::Acknowledged(outbox_id)]);
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
                    Report::Unpublishable(outbox_id, format!("Kafka refuses it: {code}{advice}"))
                } else {
                    Report::RefusedWithOthers(outbox_id)
                };
                self.reports.put([report]);
            }
            Err((error, message)) => {
                metrics::counter!("events_delivery_failed_total").increment(1);
                tracing::debug!(%error, "event not acknowledged in time, left to the sweeper");
                self.reports.put([Report::NotTaken(self.not_taken(error, message.topic()))]);
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
    // Dropped in this order: what is gathered is sent, then the clients end, and then no report can follow.
    gatherer: Gatherer,
    _polling: Periodic,
    clients: Arc<Clients>,
    _reports: ClosedAtLast,
}

/// The thread that gathers rows; it ends when this is dropped.
struct Gatherer {
    rows: Arc<Mailbox<OutboxRow>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Clients {
    inner: BaseProducer<Deliveries>,
    /// Sends each message in a batch of its own. Created when a batch is first refused, which is rare.
    alone: OnceLock<BaseProducer<Deliveries>>,
    settings: KafkaSettings,
    reports: Arc<Mailbox<Report>>,
    shared: Arc<Shared>,
}

struct ClosedAtLast(Arc<Mailbox<Report>>);

impl Drop for ClosedAtLast {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Gatherer {
    fn start(clients: &Arc<Clients>) -> Self {
        let rows = Arc::new(Mailbox::new());
        let (gathered, clients) = (Arc::clone(&rows), Arc::clone(clients));
        let mut spacing = Spacing::new(Duration::from_millis(clients.settings.producer.interval_ms));
        let thread = worker_threads::spawn("producer", move || {
            while let Some(rows) = gathered.take(|| spacing.wait(Instant::now())) {
                spacing.begin(Instant::now());
                rows.iter().for_each(|row| clients.send_by(&clients.inner, row));
            }
        });
        Self { rows, thread: Mutex::new(Some(thread)) }
    }

    /// Hands everything to librdkafka now, and takes no more.
    fn end(&self) {
        self.rows.close();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The thread cannot have panicked: that would have ended the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Gatherer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Producer {
    /// Creates a producer that puts the result of each row into `reports`, and closes it when it is dropped.
    pub(crate) fn new(settings: &KafkaSettings, reports: Arc<Mailbox<Report>>) -> Result<Self, KafkaError> {
        let shared = Arc::new(Shared { refusals: Refusals::new(settings), unacknowledged: AtomicUsize::new(0) });
        let inner = Clients::client(settings, Arc::clone(&reports), &shared, false)?;
        let closed_at_last = ClosedAtLast(Arc::clone(&reports));
        let clients = Arc::new(Clients { inner, alone: OnceLock::new(), settings: settings.clone(), reports, shared });
        let polled = Arc::clone(&clients);
        let polling = Periodic::spawn("delivery reports", POLL_INTERVAL, move || {
            polled.poll();
            Pace::Pause
        });
        Ok(Self { gatherer: Gatherer::start(&clients), _polling: polling, clients, _reports: closed_at_last })
    }

    /// Whether messages are gathered, queued or not acknowledged yet.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        self.clients.shared.unacknowledged.load(Ordering::SeqCst) > 0
    }

    /// Takes rows to be sent, without waiting, and returns how many there was room for. The sweeper sends the others.
    pub(crate) fn send(&self, mut rows: Vec<OutboxRow>) -> usize {
        let Clients { shared, settings, .. } = &*self.clients;
        let most = settings.producer.max_queued_messages;
        let before = shared.unacknowledged.fetch_add(rows.len(), Ordering::SeqCst);
        let sent = rows.len().min(most.saturating_sub(before));
        shared.unacknowledged.fetch_sub(rows.len() - sent, Ordering::SeqCst);
        rows.truncate(sent);
        if self.gatherer.rows.put(rows) {
            return sent;
        }
        shared.unacknowledged.fetch_sub(sent, Ordering::SeqCst);
        0
    }

    /// Reports that a row can never be published.
    pub(crate) fn give_up(&self, id: i64, why: &str) {
        self.clients.reports.put([Report::Unpublishable(id, why.to_owned())]);
    }

    /// Queues a row to be sent in a batch of its own. The sweeper sends a row that cannot be queued.
    pub(crate) fn send_alone(&self, row: &OutboxRow) {
        self.clients.send_alone(row);
    }

    /// Fetches the metadata of the cluster within `timeout`, for all topics: some brokers create a topic that is requested by
    /// name.
    pub(crate) fn metadata(&self, timeout: Duration) -> Result<Metadata, String> {
        let inner = &self.clients.inner;
        let last_error = &inner.context().last_error;
        match inner.client().fetch_metadata(None, timeout) {
            Ok(metadata) => {
                last_error.forget();
                Ok(metadata)
            }
            Err(error) => Err(last_error.sentence(&error)),
        }
    }

    /// Takes no more rows, and waits until every message is acknowledged or given up, at most `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) {
        self.gatherer.end();
        if let Err(error) = self.clients.inner.flush(timeout) {
            tracing::warn!(%error, "events not acknowledged before the stop, sent at the next start");
        }
    }
}

impl Clients {
    /// Handles the delivery reports and errors that have come. A poll that waits would use a core in its last millisecond.
    fn poll(&self) {
        for client in std::iter::once(&self.inner).chain(self.alone.get()) {
            loop {
                let before = self.shared.unacknowledged.load(Ordering::SeqCst);
                // One event, which may report many messages.
                client.poll(Duration::ZERO);
                if self.shared.unacknowledged.load(Ordering::SeqCst) == before {
                    break;
                }
            }
        }
    }

    fn client(
        settings: &KafkaSettings,
        reports: Arc<Mailbox<Report>>,
        shared: &Arc<Shared>,
        alone: bool,
    ) -> Result<BaseProducer<Deliveries>, KafkaError> {
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

    fn send_alone(&self, row: &OutboxRow) {
        if self.alone.get().is_none() {
            match Self::client(&self.settings, Arc::clone(&self.reports), &self.shared, true) {
                Ok(client) => drop(self.alone.set(client)),
                Err(error) => {
                    tracing::warn!(%error, outbox_id = row.id, "event could not be sent in its own batch, left to the sweeper");
                    return;
                }
            }
        }
        if let Some(client) = self.alone.get() {
            self.shared.unacknowledged.fetch_add(1, Ordering::SeqCst);
            self.send_by(client, row);
        }
    }

    /// Queues a row that is counted as unacknowledged. The sweeper sends a row that cannot be queued.
    fn send_by(&self, client: &BaseProducer<Deliveries>, row: &OutboxRow) {
        if let Err(report) = self.queue(client, row) {
            // There will be no delivery report.
            self.shared.unacknowledged.fetch_sub(1, Ordering::SeqCst);
            self.reports.put(report);
        }
    }

    /// Queues a row in librdkafka; if it cannot be queued, the error is what is to be reported of it.
    fn queue(&self, client: &BaseProducer<Deliveries>, row: &OutboxRow) -> Result<(), Option<Report>> {
        let give_up = |why: String| Err(Some(Report::Unpublishable(row.id, why)));
        let pairs = match row.headers.pairs() {
            // librdkafka takes a header's name as a C string, which cannot hold a NUL.
            Some(pairs) if !pairs.iter().any(|(name, _)| name.contains('\0')) => pairs,
            _ => return give_up("its headers in the outbox cannot be read".to_owned()),
        };
        let headers = pairs.iter().fold(OwnedHeaders::new_with_capacity(pairs.len()), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        let opaque = (row.id as isize).cast_unsigned();
        let record = BaseRecord::with_opaque_to(&row.topic, opaque).key(&row.message_key).headers(headers);
        // No event has an empty body: it is that of a tombstone, which was dead-lettered and is redriven.
        let record = if row.body.is_empty() { record } else { record.payload(&row.body) };
        match client.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                tracing::debug!(outbox_id = row.id, "no room for an event, left to the sweeper");
                Err(None)
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                give_up("it is larger than the setting kafka.max_message_bytes allows".to_owned())
            }
            Err((error @ KafkaError::Nul(_), _)) => give_up(format!("its topic is not a valid name: {error}")),
            // librdkafka knows from the last metadata that the topic may not be written to.
            Err((error @ KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => {
                Err(Some(Report::NotTaken(client.context().not_taken(&error, &row.topic))))
            }
            Err((error, _)) => {
                tracing::error!(%error, outbox_id = row.id, "event could not be queued, left to the sweeper");
                Err(None)
            }
        }
    }
}
