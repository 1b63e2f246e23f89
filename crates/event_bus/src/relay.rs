//! The way out: a commit that hands what it publishes to the producer, deletion of what was delivered, and a sweeper for what
//! was left behind.

use crate::dead_letters;
use crate::outbox::{self, OutboxRow};
use crate::producer::{Producer, Report};
use crate::publications::Publications;
use crate::{KafkaSettings, topics};
use anyhow::Context;
use dual_db::{Connection, Database};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_threads::{Pace, Periodic};

/// How much longer than a delivery may take a row is left alone.
const GRACE_BEYOND_DELIVERY: Duration = Duration::from_secs(2);

/// Runs on the rows of every commit, after the COMMIT and before any of them is handed to the producer, and on the rows that
/// the sweeper found left behind, before it hands them on. So nothing is published that it has not seen: the place of a
/// journal.
///
/// It is called by many threads at once, may see a row more than once, and must not fail: where it cannot do what the rows
/// need, it ends the process, and the sweeper of the next start brings the rows again.
pub trait BeforePublish: Send + Sync {
    /// Sees rows that were committed and are about to be published.
    fn before_publish(&self, rows: &[OutboxRow]);
}

/// The one way out: commits a transaction together with what it publishes, and sends it. Shared by all that publish.
pub struct Relay {
    database: Database,
    publisher: Arc<Publisher>,
    settings: KafkaSettings,
    grace_us: i64,
    threads: Mutex<Option<Threads>>,
}

/// The only way to the producer: nothing gets past the hook.
struct Publisher {
    producer: Producer,
    hook: Option<Arc<dyn BeforePublish>>,
}

impl Publisher {
    /// Hands committed rows to the producer, and returns how many of them it took. Never waits for Kafka: those that do not
    /// fit its queue are left to the sweeper.
    fn publish(&self, rows: &[OutboxRow]) -> usize {
        if rows.is_empty() {
            return 0;
        }
        if let Some(hook) = &self.hook {
            hook.before_publish(rows);
        }
        rows.iter().take_while(|row| self.producer.send(row)).count()
    }
}

struct Threads {
    sweeper: Periodic,
    keeper: JoinHandle<()>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

impl Relay {
    /// Starts the producer, the sweeper and the keeper of the outbox. Kafka need not be there yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn start(database: &Database, settings: &KafkaSettings) -> anyhow::Result<Arc<Self>> {
        Self::start_with(database, settings, None)
    }

    /// The same, with a hook that sees everything before it is published.
    ///
    /// # Errors
    /// As [`Relay::start`].
    pub fn start_with(
        database: &Database,
        settings: &KafkaSettings,
        hook: Option<Arc<dyn BeforePublish>>,
    ) -> anyhow::Result<Arc<Self>> {
        let (reports, reported) = channel();
        let producer = Producer::new(settings, reports).context("Kafka's client refuses the kafka settings")?;
        let publisher = Arc::new(Publisher { producer, hook });
        let delivery = Duration::from_millis(settings.producer.delivery_timeout_ms);
        let grace_us = dual_db::micros(delivery + GRACE_BEYOND_DELIVERY);
        let threads = Threads {
            sweeper: start_sweeper(database.clone(), settings, Arc::clone(&publisher), grace_us),
            keeper: start_keeper(database.clone(), settings, Arc::downgrade(&publisher), reported),
        };
        Ok(Arc::new(Self {
            database: database.clone(),
            publisher,
            settings: settings.clone(),
            grace_us,
            threads: Mutex::new(Some(threads)),
        }))
    }

    /// Runs `work` in one transaction, stores what it publishes with it, and hands that to the producer once it is
    /// committed. Blocks for the database, never for Kafka; call it from a thread that may.
    ///
    /// As in [`Database::write`], a transaction that lost a race is run again from its start. So `work` must change nothing
    /// outside the database; what is to be logged or counted once, it returns. Do not call this inside a transaction.
    ///
    /// # Errors
    /// The database's. What is published then is what was committed: nothing, or, where the answer to the COMMIT was lost and
    /// it happened, everything, by the sweeper.
    pub fn commit<T>(
        &self,
        mut work: impl FnMut(&mut Connection, &mut Publications) -> dual_db::Result<T>,
    ) -> dual_db::Result<T> {
        let (value, rows) = self.database.write(|connection| {
            let now_us = connection.now_us()?;
            let mut publications = Publications::new(now_us, self.settings.max_message_bytes);
            let value = work(connection, &mut publications)?;
            Ok((value, publications.store(connection, self.grace_us)?))
        })?;
        let queued = self.publisher.publish(&rows);
        metrics::counter!("events_left_to_sweeper_total").increment((rows.len() - queued) as u64);
        Ok(value)
    }

    /// Whether Kafka answers within `timeout` and has `topics`, for health checks; what is missing of them is made. Blocks for a
    /// bounded time.
    ///
    /// # Errors
    /// A sentence that says what to check.
    pub fn check(&self, topics: &[&str], timeout: Duration) -> Result<(), String> {
        let missing = topics::missing(&self.publisher.producer.metadata(timeout)?, &self.settings, topics)?;
        if missing.is_empty() { Ok(()) } else { topics::create(&self.settings, &missing) }
    }

    /// Stops the sweeper, waits a bounded time for messages on their way, and deletes the rows of those that arrived.
    pub fn stop(self: Arc<Self>) {
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        threads.sweeper.stop();
        self.publisher.producer.flush(Duration::from_millis(self.settings.producer.flush_timeout_ms));
        match Arc::try_unwrap(self) {
            Ok(relay) => {
                // The keeper ends when the producer, which holds the other end of its channel, is gone.
                drop(relay);
                let _ = threads.keeper.join();
            }
            Err(_) => {
                tracing::debug!("the relay is still in use; what it delivered since is sent again at the next start")
            }
        }
    }
}

fn start_sweeper(database: Database, settings: &KafkaSettings, publisher: Arc<Publisher>, lease_us: i64) -> Periodic {
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
                let all_queued = publisher.publish(&rows) == rows.len();
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

/// Does in the outbox what the producer reports: deletes what Kafka has, and takes out what it never will have.
fn start_keeper(
    database: Database,
    settings: &KafkaSettings,
    publisher: Weak<Publisher>,
    reported: Receiver<Report>,
) -> JoinHandle<()> {
    let most = settings.outbox.delete_batch;
    let linger = Duration::from_millis(settings.outbox.delete_linger_ms);
    worker_threads::spawn("outbox keeper", move || {
        while let Ok(first) = reported.recv() {
            let mut reports = vec![first];
            let until = Instant::now() + linger;
            while reports.len() < most {
                match reported.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(report) => reports.push(report),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
            for report in reports {
                match report {
                    Report::Acknowledged(id) => acknowledged.push(id),
                    Report::RefusedWithOthers(id) => refused.push(id),
                    Report::Unpublishable(id, why) => set_aside(&database, id, &why),
                }
            }
            if !acknowledged.is_empty()
                && let Err(error) = database.write(|connection| outbox::delete(connection, &acknowledged))
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "delivered events could not be deleted from the outbox; they are sent again"
                );
            }
            if !refused.is_empty() {
                send_alone(&database, &publisher, &refused);
            }
        }
    })
}

/// Makes a dead letter of an event that can never be published, in a transaction of its own: it holds up no other.
fn set_aside(database: &Database, id: i64, why: &str) {
    let kept = database.write(|connection| {
        let now_us = connection.now_us()?;
        let Some((row, created_at_us)) = outbox::take_out(connection, id)? else { return Ok(None) };
        dead_letters::insert_unpublished(connection, &row, created_at_us, why, now_us).map(Some)
    });
    match kept {
        Ok(new) => new.unwrap_or_default().report(),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            outbox_id = id,
            "an event that cannot be published could not be set aside; trying again"
        ),
    }
}

/// Sends events again, each in a batch of its own, that were refused in one batch: the hook has seen them before.
fn send_alone(database: &Database, publisher: &Weak<Publisher>, ids: &[i64]) {
    // None when the relay is stopping: then the sweeper of the next start takes care of them.
    let Some(publisher) = publisher.upgrade() else { return };
    match database.read(|connection| outbox::find(connection, ids)) {
        Ok(rows) => rows.iter().for_each(|row| publisher.producer.send_alone(row)),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "events that were refused could not be sent again; the sweeper tries again"
        ),
    }
}
