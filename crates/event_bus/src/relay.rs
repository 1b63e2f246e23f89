//! Publishing: a commit that passes its messages to the producer, a keeper that deletes the rows of delivered messages, and a
//! sweeper that sends the rows again that were not published or not acknowledged.

use crate::dead_letters;
use crate::mailbox::Mailbox;
use crate::outbox::{self, OutboxRow};
use crate::producer::{Producer, Report};
use crate::publications::Publications;
use crate::rebuild::{Rebuild, complete};
use crate::{InsertRows, KafkaSettings, OutgoingMessage, topics};
use anyhow::Context;
use dual_db::{Connection, Database};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use worker_threads::{Pace, Periodic, Worker};

/// How long after the delivery time-out the sweeper still ignores a row.
const GRACE_BEYOND_DELIVERY: Duration = Duration::from_secs(2);

/// A hook that runs on the rows of every transaction, after the COMMIT and before the producer gets them, and on the rows that
/// the sweeper sends again. So nothing is published that the hook has not seen. This is where a journal is appended.
///
/// Many threads call it at once. It may get a row more than once. It must not fail: an implementation that cannot do its work
/// ends the process, and the sweeper of the next start calls it again with these rows.
pub trait BeforePublish: Send + Sync {
    /// Called with committed rows that are about to be published.
    fn before_publish(&self, rows: &[OutboxRow]);
}

/// The only way to publish: commits a transaction together with its messages, and sends them. All publishers of a service
/// share one.
pub struct Relay {
    database: Database,
    rebuild: Option<Arc<dyn Rebuild>>,
    publisher: Arc<Publisher>,
    settings: KafkaSettings,
    grace_us: i64,
    threads: Mutex<Option<Threads>>,
}

/// Owns the producer, so that no message bypasses the hook.
struct Publisher {
    producer: Producer,
    hook: Option<Arc<dyn BeforePublish>>,
    worker: Worker,
}

/// What a relay waits for.
const ACKNOWLEDGEMENT: &str = "Kafka to acknowledge events";

impl Publisher {
    /// Passes committed rows to the producer, and returns how many of them it queued. Never waits for Kafka: rows that do not
    /// fit into the queue are left to the sweeper.
    fn publish(&self, rows: Vec<OutboxRow>) -> usize {
        if rows.is_empty() {
            return 0;
        }
        if let Some(hook) = &self.hook {
            hook.before_publish(&rows);
        }
        self.worker.working(ACKNOWLEDGEMENT);
        self.producer.send(rows)
    }

    /// Has the keeper take pointers out of the outbox for which there is no message.
    fn give_up(&self, ids: &[i64]) {
        for id in ids {
            self.producer.give_up(*id, "its message cannot be built again");
        }
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
    /// Starts the producer, the sweeper and the keeper of the outbox. Kafka need not be running yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn start(database: &Database, settings: &KafkaSettings) -> anyhow::Result<Arc<Self>> {
        Self::start_with(database, settings, None, None)
    }

    /// As [`Relay::start`], with a hook that gets every message before it is published, and what builds messages again whose rows
    /// are pointers.
    ///
    /// # Errors
    /// As [`Relay::start`].
    pub fn start_with(
        database: &Database,
        settings: &KafkaSettings,
        hook: Option<Arc<dyn BeforePublish>>,
        rebuild: Option<Arc<dyn Rebuild>>,
    ) -> anyhow::Result<Arc<Self>> {
        let reports = Arc::new(Mailbox::new());
        let producer =
            Producer::new(settings, Arc::clone(&reports)).context("Kafka's client refuses the kafka settings")?;
        let worker = Worker::idle();
        let publisher = Arc::new(Publisher { producer, hook, worker: worker.clone() });
        let delivery = Duration::from_millis(settings.producer.delivery_timeout_ms);
        let grace_us = dual_db::micros(delivery + GRACE_BEYOND_DELIVERY);
        let threads = Threads {
            sweeper: start_sweeper(database.clone(), settings, Arc::clone(&publisher), rebuild.clone(), grace_us),
            keeper: start_keeper(
                database.clone(),
                settings,
                Arc::downgrade(&publisher),
                rebuild.clone(),
                reports,
                worker,
            ),
        };
        Ok(Arc::new(Self {
            database: database.clone(),
            rebuild,
            publisher,
            settings: settings.clone(),
            grace_us,
            threads: Mutex::new(Some(threads)),
        }))
    }

    /// Runs `work` in one transaction, stores the messages that it publishes in the outbox, and publishes them after the
    /// commit. Blocks for the database, never for Kafka; call it from a thread that may block.
    ///
    /// As in [`Database::write`], a transaction that lost a race is run again from its start. So `work` must change nothing
    /// outside the database, and returns what the caller logs or counts once. Do not call this inside a transaction.
    ///
    /// # Errors
    /// Those of the database. Nothing is published then, unless the response to the COMMIT was lost and the transaction was
    /// committed: then the sweeper publishes all of its messages.
    pub fn commit<T>(
        &self,
        mut work: impl FnMut(&mut Connection, &mut Publications) -> dual_db::Result<T>,
    ) -> dual_db::Result<T> {
        let (value, rows) = self.database.write(|connection| {
            let now_us = connection.now_us()?;
            let mut publications = Publications::new(now_us, self.settings.max_message_bytes, self.rebuild.is_some());
            let value = work(connection, &mut publications)?;
            Ok((value, publications.store(connection, self.grace_us)?))
        })?;
        self.publish(rows);
        Ok(value)
    }

    fn publish(&self, rows: Vec<OutboxRow>) {
        let committed = rows.len();
        let queued = self.publisher.publish(rows);
        metrics::counter!("events_left_to_sweeper_total").increment((committed - queued) as u64);
    }

    /// Whether [`Relay::commit_statement`] can be used: on PostgreSQL, by a service that builds messages again.
    pub fn commits_statements(&self) -> bool {
        self.rebuild.is_some() && self.database.is_postgres()
    }

    /// As [`Relay::commit`], for work that writes with one statement and needs no BEGIN and no COMMIT of its own: that statement
    /// inserts the outbox rows, by [`Relay::insert_pointers`], and is the last one of `work`, which returns the messages with the
    /// ids of their rows. Runs once: the caller decides what follows from an error.
    ///
    /// # Errors
    /// Those of the database. As after a COMMIT, the statement may have been committed all the same.
    pub fn commit_statement<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> dual_db::Result<(T, Vec<OutgoingMessage>, Vec<i64>)>,
    ) -> dual_db::Result<T> {
        let (value, messages, ids) = self.database.write_statement(work)?;
        self.publish(ids.into_iter().zip(messages).map(|(id, message)| OutboxRow::new(id, message)).collect());
        Ok(value)
    }

    /// The part of a statement that inserts a pointer for each message.
    pub fn insert_pointers<'a>(&self, messages: &'a [OutgoingMessage], now_us: i64) -> InsertRows<'a> {
        InsertRows::new(messages.iter().map(|message| (message, true)), now_us, now_us + self.grace_us)
    }

    /// Where it reports whether Kafka takes the events. It is ready while there are none.
    pub fn worker(&self) -> Worker {
        self.publisher.worker.clone()
    }

    /// Checks that Kafka answers within `timeout` and has `topics`, for health checks. Creates missing topics. Blocks for a
    /// bounded time.
    ///
    /// # Errors
    /// A sentence that says what to check.
    pub fn check(&self, topics: &[&str], timeout: Duration) -> Result<(), String> {
        let missing = topics::missing(&self.publisher.producer.metadata(timeout)?, &self.settings, topics)?;
        if missing.is_empty() { Ok(()) } else { topics::create(&self.settings, &missing) }
    }

    /// Stops the sweeper, waits a bounded time for unacknowledged messages, and deletes the rows of those that were delivered.
    pub fn stop(self: Arc<Self>) {
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        threads.sweeper.stop();
        self.publisher.producer.flush(Duration::from_millis(self.settings.producer.flush_timeout_ms));
        match Arc::try_unwrap(self) {
            Ok(relay) => {
                // The keeper ends when the producer is dropped, which holds the sending half of its channel.
                drop(relay);
                let _ = threads.keeper.join();
            }
            Err(_) => {
                tracing::debug!("relay still in use at its stop, late deliveries are sent again at the next start")
            }
        }
    }
}

fn start_sweeper(
    database: Database,
    settings: &KafkaSettings,
    publisher: Arc<Publisher>,
    rebuild: Option<Arc<dyn Rebuild>>,
    lease_us: i64,
) -> Periodic {
    let limit = settings.outbox.sweep_batch;
    let worker = publisher.worker.clone();
    let mut due_times = outbox::due_times(lease_us);
    Periodic::spawn("outbox sweeper", Duration::from_millis(settings.outbox.sweep_interval_ms), move || {
        due_times.check(&database);
        let any_due = database.read(|connection| {
            let now_us = connection.now_us()?;
            outbox::any_due(connection, now_us)
        });
        let taken = any_due.and_then(|any_due| {
            if !any_due {
                // Another instance may have published what this one could not.
                if worker.has_failed() && database.read(outbox::is_empty)? {
                    worker.succeeded();
                }
                return Ok((Vec::new(), Vec::new()));
            }
            let taken = database.write(|connection| {
                let now_us = connection.now_us()?;
                outbox::take_due(connection, now_us, limit, lease_us)
            })?;
            database.read(|connection| complete(connection, rebuild.as_deref(), taken))
        });
        match taken {
            Ok((rows, without_message)) => {
                let (found, taken) = (rows.len(), rows.len() + without_message.len());
                metrics::counter!("events_swept_total").increment(found as u64);
                publisher.give_up(&without_message);
                let all_queued = publisher.publish(rows) == found;
                if all_queued && i64::try_from(taken).is_ok_and(|taken| taken == limit) {
                    Pace::Again
                } else {
                    Pace::Pause
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "outbox sweep failed, retrying");
                Pace::Pause
            }
        }
    })
}

/// Applies the producer's reports to the outbox: deletes delivered events, dead-letters unpublishable ones, and sends those
/// again that were refused with their batch. Reports to `worker` whether Kafka takes the events.
fn start_keeper(
    database: Database,
    settings: &KafkaSettings,
    publisher: Weak<Publisher>,
    rebuild: Option<Arc<dyn Rebuild>>,
    reports: Arc<Mailbox<Report>>,
    worker: Worker,
) -> JoinHandle<()> {
    let most = settings.outbox.delete_batch;
    let linger = Duration::from_millis(settings.outbox.delete_linger_ms);
    worker_threads::spawn("outbox keeper", move || {
        while let Some(reports) = reports.take(|| linger) {
            let (mut acknowledged, mut refused, mut not_taken) = (Vec::new(), Vec::new(), None);
            for report in reports {
                match report {
                    Report::Acknowledged(id) => acknowledged.push(id),
                    Report::RefusedWithOthers(id) => refused.push(id),
                    Report::Unpublishable(id, why) => dead_letter(&database, rebuild.as_deref(), id, &why),
                    Report::NotTaken(why) => not_taken = Some(why),
                }
            }
            match not_taken {
                Some(why) => worker.failed(why),
                // Kafka has taken events, or would if they were others.
                None => worker.succeeded(),
            }
            if publisher.upgrade().is_some_and(|publisher| publisher.producer.has_unacknowledged()) {
                worker.working(ACKNOWLEDGEMENT);
            }
            metrics::counter!("events_delivered_total").increment(acknowledged.len() as u64);
            for acknowledged in acknowledged.chunks(most) {
                if let Err(error) = database.write(|connection| outbox::delete(connection, acknowledged)) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "delivered events could not be deleted from the outbox, sent again later"
                    );
                }
            }
            if !refused.is_empty() {
                send_alone(&database, &publisher, rebuild.as_deref(), &refused);
            }
        }
    })
}

/// Moves an event that can never be published from the outbox to the dead letters, in a transaction of its own, so that it
/// delays no other event.
fn dead_letter(database: &Database, rebuild: Option<&dyn Rebuild>, id: i64, why: &str) {
    let stored = database.write(|connection| {
        let now_us = connection.now_us()?;
        let Some((row, created_at_us)) = outbox::take_out(connection, id)? else { return Ok(None) };
        let event_id = row.event_id.clone();
        match complete(connection, rebuild, vec![row])?.0.pop() {
            Some(row) => {
                dead_letters::insert_unpublished(connection, &row, created_at_us, why, now_us).map(|new| Some(Ok(new)))
            }
            None => Ok(Some(Err(event_id))),
        }
    });
    match stored {
        Ok(None) => {}
        Ok(Some(Ok(new))) => new.report(),
        Ok(Some(Err(event_id))) => {
            tracing::error!(event_id, "event dropped, what it reports is not stored any more");
        }
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            outbox_id = id,
            "unpublishable event could not be dead-lettered, retrying"
        ),
    }
}

/// Sends the events of a refused batch again, each in a batch of its own. The hook has seen them before.
fn send_alone(database: &Database, publisher: &Weak<Publisher>, rebuild: Option<&dyn Rebuild>, ids: &[i64]) {
    // `None` while the relay stops: the sweeper of the next start sends them.
    let Some(publisher) = publisher.upgrade() else { return };
    let found = database.read(|connection| {
        let rows = outbox::find(connection, ids)?;
        complete(connection, rebuild, rows)
    });
    match found {
        Ok((rows, _)) => rows.iter().for_each(|row| publisher.producer.send_alone(row)),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "refused events could not be sent again, left to the sweeper"
        ),
    }
}
