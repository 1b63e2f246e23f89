//! The way out: hand-off right after the commit, deletion of what was delivered, and a sweeper for what was left behind.

use crate::outbox::{self, OutboxRow};
use crate::producer::Producer;
use crate::{KafkaSettings, OutgoingMessage, topics};
use dual_db::{Connection, Database};
use service_runtime::background::{self, Pace, Periodic};
use service_runtime::backoff;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much longer than a delivery may take a row is left alone.
const GRACE_BEYOND_DELIVERY: Duration = Duration::from_secs(2);

/// Sends what is in the outbox. Shared by all that write into it.
pub struct Relay {
    producer: Arc<Producer>,
    settings: KafkaSettings,
    grace_us: i64,
    flush_timeout: Duration,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    sweeper: Periodic,
    deleter: JoinHandle<()>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

impl Relay {
    /// Starts the producer, the sweeper and the deleter. Kafka need not be there yet.
    ///
    /// # Errors
    /// A sentence when librdkafka refuses the settings.
    pub fn start(database: &Database, settings: &KafkaSettings) -> Result<Arc<Self>, String> {
        let (acknowledged, deliveries) = channel();
        let producer = Producer::new(settings, acknowledged)
            .map_err(|error| format!("Kafka's client refuses the kafka settings ({error})"))?;
        let producer = Arc::new(producer);
        let delivery = Duration::from_millis(settings.producer.delivery_timeout_ms);
        let grace_us = backoff::micros(delivery + GRACE_BEYOND_DELIVERY);
        let threads = Threads {
            sweeper: start_sweeper(database.clone(), settings, Arc::clone(&producer), grace_us),
            deleter: start_deleter(database.clone(), settings, deliveries),
        };
        Ok(Arc::new(Self {
            producer,
            settings: settings.clone(),
            grace_us,
            flush_timeout: Duration::from_millis(settings.producer.flush_timeout_ms),
            threads: Mutex::new(Some(threads)),
        }))
    }

    /// Writes messages into the outbox, inside the caller's transaction; give what it returns to [`Relay::hand_off`]
    /// after the commit.
    ///
    /// # Errors
    /// The database's.
    pub fn enqueue(
        &self,
        connection: &mut Connection,
        messages: &[OutgoingMessage],
        now_us: i64,
    ) -> dual_db::Result<Vec<OutboxRow>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        outbox::insert(connection, messages, now_us, self.grace_us)
    }

    /// The same, without the messages that wait already, word for word: what is said again and again does not fill the
    /// outbox while nothing can be sent.
    ///
    /// # Errors
    /// The database's.
    pub fn enqueue_unless_waiting(
        &self,
        connection: &mut Connection,
        messages: &[OutgoingMessage],
        now_us: i64,
    ) -> dual_db::Result<Vec<OutboxRow>> {
        let missing = outbox::not_waiting(connection, messages)?;
        self.enqueue(connection, &missing, now_us)
    }

    /// Whether a message is small enough to be sent at all.
    pub(crate) fn carries(&self, message: &OutgoingMessage) -> bool {
        let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        message.key.len() + headers + message.body.len() <= self.settings.max_message_bytes
    }

    /// Sends rows that were just committed. Never waits: what does not fit the queue is left to the sweeper.
    pub fn hand_off(&self, rows: &[OutboxRow]) {
        let queued = rows.iter().take_while(|row| self.producer.send(row)).count();
        metrics::counter!("events_left_to_sweeper_total").increment((rows.len() - queued) as u64);
    }

    /// Whether Kafka answers and has `topics`, for health checks; what is missing of them is made. Blocks for a bounded
    /// time.
    ///
    /// # Errors
    /// A sentence that says what to check.
    pub fn check(&self, topics: &[&str]) -> Result<(), String> {
        let missing = topics::missing(&self.producer.metadata()?, &self.settings, topics)?;
        if missing.is_empty() { Ok(()) } else { topics::create(&self.settings, &missing) }
    }

    /// Stops the sweeper, waits a bounded time for messages on their way, and deletes the rows of those that arrived.
    pub fn stop(self: Arc<Self>) {
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        threads.sweeper.stop();
        self.producer.flush(self.flush_timeout);
        match Arc::try_unwrap(self) {
            Ok(relay) => {
                // The deleter ends when the producer, which holds the other end of its channel, is gone.
                drop(relay);
                let _ = threads.deleter.join();
            }
            Err(_) => {
                tracing::debug!("the relay is still in use; what it delivered since is sent again at the next start")
            }
        }
    }
}

fn start_sweeper(database: Database, settings: &KafkaSettings, producer: Arc<Producer>, lease_us: i64) -> Periodic {
    let limit = settings.outbox.sweep_batch;
    Periodic::spawn("outbox sweeper", Duration::from_millis(settings.outbox.sweep_interval_ms), move || {
        let any_due = database.read(|connection| {
            let now_us = connection.now_us()?;
            outbox::any_due(connection, now_us)
        });
        let taken = any_due.and_then(|any_due| {
            if !any_due {
                return Ok(Vec::new());
            }
            database.write(|connection| {
                let now_us = connection.now_us()?;
                outbox::take_due(connection, now_us, limit, lease_us)
            })
        });
        match taken {
            Ok(rows) => {
                metrics::counter!("events_swept_total").increment(rows.len() as u64);
                let all_queued = rows.iter().all(|row| producer.send(row));
                if all_queued && i64::try_from(rows.len()).is_ok_and(|taken| taken == limit) {
                    Pace::Again
                } else {
                    Pace::Pause
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the outbox could not be swept; trying again");
                Pace::Pause
            }
        }
    })
}

fn start_deleter(database: Database, settings: &KafkaSettings, deliveries: Receiver<i64>) -> JoinHandle<()> {
    let most = settings.outbox.delete_batch;
    let linger = Duration::from_millis(settings.outbox.delete_linger_ms);
    background::spawn("outbox deleter", move || {
        while let Ok(first) = deliveries.recv() {
            let mut ids = vec![first];
            let until = Instant::now() + linger;
            while ids.len() < most {
                match deliveries.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(id) => ids.push(id),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            if let Err(error) = database.write(|connection| outbox::delete(connection, &ids)) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "delivered events could not be deleted from the outbox; they are sent again"
                );
            }
        }
    })
}
