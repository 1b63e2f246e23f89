//! A database as a service uses it: a pool of connections, reads, writes in one transaction, and a bounded number of retries.

use crate::damage::Damage;
use crate::manager::{Manager, Target};
use crate::pooler::Transactions;
use crate::{Connection, DatabaseSettings, Error, Migrations, OpenError, Result, migrations};
use r2d2::{Pool, PooledConnection};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use worker_threads::Backoff;

/// How long connecting may fail before callers get an error at once instead of waiting for a connection.
const OUTAGE: Duration = Duration::from_secs(1);

/// How often a caller that waits for a connection checks for an outage.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Between the attempts of a start that cannot reach its database.
const AT_START: Backoff = Backoff::from_millis(1_000, 8_000);

/// Before a transaction that lost a race is run again: races are short.
const AFTER_A_RACE: Backoff = Backoff::from_millis(1, 128);

/// How long after its start a transaction is still run again if the database failed it for a reason without a kind: that may be
/// a deadlock, which ends at once.
const RETRY_FAILED: Duration = Duration::from_secs(1);

/// A pool of connections to one database. Cheap to clone.
///
/// On SQLite all writes of a process use one connection, so that they queue fairly instead of competing for the lock. On
/// PostgreSQL reads and writes share one pool.
#[derive(Debug, Clone)]
pub struct Database {
    readers: Pool<Manager>,
    writers: Pool<Manager>,
    /// Has the settings, and opens connections besides those of the pools.
    pub(crate) manager: Arc<Manager>,
    /// `None` on PostgreSQL, whose server looks after its files.
    pub(crate) damage: Option<Arc<Damage>>,
    /// The statements of [`Database::probe_write`], one after the other.
    probes: Arc<Mutex<String>>,
    transactions: Transactions,
}

impl Database {
    /// Opens the database, and creates the directory of an SQLite file if it is missing. Checks an SQLite file for damage.
    ///
    /// # Errors
    /// One sentence for the operator if the database cannot be reached, opened or written.
    pub fn open(settings: &DatabaseSettings) -> std::result::Result<Self, OpenError> {
        let manager = Manager {
            target: Target::parse(&settings.url)?,
            settings: settings.clone(),
            unreached_since: Arc::default(),
            silences: Arc::new(AtomicU64::new(0)),
        };
        // The first connection is opened here, because the pool would retry without logging and lose the reason.
        first_connection(&manager)?;
        let pool = |size: u32| {
            Pool::builder()
                .max_size(size)
                // No connection is opened in advance: libpq can crash if the process ends while a connection is opened.
                .min_idle(Some(0))
                .test_on_check_out(true)
                .connection_timeout(Duration::from_millis(settings.checkout_timeout_ms))
                .error_handler(Box::new(LogPoolErrors))
                .build(manager.clone())
                .map_err(|error| OpenError(format!("the database pool could not be filled ({error})")))
        };
        let readers = pool(settings.max_connections)?;
        let (writers, transactions) = match manager.target {
            Target::Sqlite(_) => (pool(1)?, Transactions::default()),
            Target::Postgres(_) => (readers.clone(), Transactions::on_postgres(settings)),
        };
        let damage = match &manager.target {
            Target::Sqlite(file) => Some(Arc::new(Damage::of(file, settings))),
            Target::Postgres(_) => None,
        };
        let database =
            Self { readers, writers, manager: Arc::new(manager), damage, probes: Arc::default(), transactions };
        database.assert_undamaged()?;
        Ok(database)
    }

    /// Opens the database and applies missing migrations, or only checks for them if `migrate_at_start` is false. Every
    /// service calls this first.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub fn open_migrated(settings: &DatabaseSettings, sets: &[&Migrations]) -> std::result::Result<Self, OpenError> {
        let database = Self::open(settings)?;
        if settings.migrate_at_start {
            database.migrate(sets)?;
        } else {
            migrations::check(&mut *database.connection_to_migrate()?, sets)?;
            database.set_probes(sets);
        }
        Ok(database)
    }

    /// Applies missing migrations, all in one transaction.
    ///
    /// # Errors
    /// One sentence for the operator if a migration fails or the database is newer than this program.
    pub fn migrate(&self, sets: &[&Migrations]) -> std::result::Result<(), OpenError> {
        let within = Duration::from_millis(self.settings().migration_timeout_ms);
        let mut connection = self.connection_to_migrate()?;
        connection.with_long_statements(within, |connection| migrations::apply(connection, sets, within))?;
        self.set_probes(sets);
        Ok(())
    }

    /// From now on, the probes are those of these sets.
    fn set_probes(&self, sets: &[&Migrations]) {
        let statements: Vec<&str> = sets.iter().flat_map(|set| set.probes).copied().collect();
        *self.probes.lock().unwrap_or_else(PoisonError::into_inner) = statements.join("; ");
    }

    pub(crate) fn probe_statements(&self) -> String {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn settings(&self) -> &DatabaseSettings {
        &self.manager.settings
    }

    fn connection_to_migrate(&self) -> std::result::Result<PooledConnection<Manager>, OpenError> {
        let unreachable = |error| OpenError(format!("the database could not be reached to migrate it ({error})"));
        self.writers.get().map_err(unreachable)
    }

    /// Runs a query on a pooled connection. Blocks; call it from a thread that may block.
    pub fn read<T>(&self, query: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut connection = self.check_out(&self.readers)?;
        let result = self.transactions.read(&mut connection, query);
        self.note_trouble(&mut connection, &result);
        result
    }

    /// Runs `body` in one transaction and commits it. Blocks; call it from a thread that may block.
    ///
    /// A transaction that lost a race ([`Error::Conflict`]) or failed without a known reason ([`Error::Failed`]) is run again
    /// from its start, a bounded number of times and for a bounded time. So `body` must change nothing outside the database,
    /// and a log line or a count in it may be repeated.
    pub fn write<T>(&self, mut body: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let mut connection = self.check_out(&self.writers)?;
            let result = self.transactions.write(&mut connection, &mut body);
            self.note_trouble(&mut connection, &result);
            drop(connection);
            match result {
                Err(error)
                    if attempt <= self.settings().max_retries && started.elapsed() < self.retries_for(&error) =>
                {
                    tracing::debug!(attempt, error = &error as &dyn std::error::Error, "transaction failed, retrying");
                    std::thread::sleep(AFTER_A_RACE.pause(attempt));
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    /// Runs `body`, which reads and then writes with one statement, in its own transaction on PostgreSQL and without a BEGIN and a
    /// COMMIT where the session holds the time-outs. Runs it once. Blocks; call it from a thread that may block.
    pub fn write_statement<T>(&self, body: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut connection = self.check_out(&self.writers)?;
        let result = self.transactions.write_statement(&mut connection, body);
        self.note_trouble(&mut connection, &result);
        result
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        matches!(self.manager.target, Target::Postgres(_))
    }

    /// How long after its start a transaction is still run again after this error.
    fn retries_for(&self, error: &Error) -> Duration {
        match error {
            Error::Conflict => Duration::from_millis(self.settings().statement_timeout_ms),
            Error::Failed(_) => RETRY_FAILED,
            Error::Unavailable(_) | Error::Query(_) => Duration::ZERO,
        }
    }

    /// Checks out a connection. Waits while all are in use, but fails at once while the database has been unreachable for a
    /// second, so that callers get the error of an outage early.
    fn check_out(&self, pool: &Pool<Manager>) -> Result<PooledConnection<Manager>> {
        let checkout_timeout = Duration::from_millis(self.settings().checkout_timeout_ms);
        let until = Instant::now() + checkout_timeout;
        if let Some(connection) = pool.try_get() {
            return Ok(connection);
        }
        loop {
            let unreached_since = *self.manager.unreached_since.lock().unwrap_or_else(PoisonError::into_inner);
            if unreached_since.is_some_and(|since| since.elapsed() >= OUTAGE) {
                return Err(Error::Unavailable("it cannot be reached; the log says why".to_owned()));
            }
            match pool.get_timeout(CHECK_INTERVAL.min(checkout_timeout)) {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() >= until => return Err(error.into()),
                Err(_) => {}
            }
        }
    }

    fn assert_undamaged(&self) -> std::result::Result<(), OpenError> {
        let Some(damage) = &self.damage else { return Ok(()) };
        match self.read(|connection| Ok(damage.check(connection))) {
            Ok(None) => Ok(()),
            Ok(Some(found)) => Err(OpenError(found)),
            Err(error) => Err(OpenError(format!("the SQLite database could not be checked ({error}): try again"))),
        }
    }

    /// The damage of the SQLite file that a check has found, in a sentence that says what to do.
    pub fn known_damage(&self) -> Option<String> {
        self.damage.as_ref()?.known()
    }

    /// Has the pool close a connection whose error is not about a row: the session may be of no use for the next caller either.
    fn note_trouble<T>(&self, connection: &mut Connection, result: &Result<T>) {
        let Err(error) = result else { return };
        if error.is_trouble() {
            connection.session().mark_unusable();
        }
        if let (Error::Failed(_), Some(damage)) = (error, &self.damage) {
            damage.note_error();
        }
    }

    /// Whether the database answers now.
    pub fn ping(&self) -> Result<()> {
        self.read(Connection::ping)
    }
}

/// Connects once. Retries an unreachable server for `start_timeout_ms`, with pauses and a log line for each attempt: a
/// supervisor that restarts the process has neither.
fn first_connection(manager: &Manager) -> std::result::Result<(), OpenError> {
    let until = Instant::now() + Duration::from_millis(manager.settings.start_timeout_ms);
    let mut attempt = 1;
    loop {
        let pause = AT_START.pause(attempt);
        match manager.connect_to_write() {
            Ok(_) => return Ok(()),
            Err(error) if matches!(manager.target, Target::Postgres(_)) && Instant::now() + pause < until => {
                tracing::warn!("{error}; retrying in {} s", pause.as_secs());
                std::thread::sleep(pause);
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Logs the errors of the pool, which retries by itself. Their texts may contain hosts and users, but no password.
#[derive(Debug)]
struct LogPoolErrors;

impl r2d2::HandleError<OpenError> for LogPoolErrors {
    fn handle_error(&self, error: OpenError) {
        tracing::warn!(%error, "database connection could not be opened");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_retries_to_connect_for_the_start_timeout() {
        let nowhere = DatabaseSettings::at("postgres://user@127.0.0.1:1/nothing");
        let started = Instant::now();
        Database::open(&nowhere).expect_err("no server listens");
        let at_once = started.elapsed();
        let patient = DatabaseSettings { start_timeout_ms: 10_000, ..nowhere };
        let started = Instant::now();
        let error = Database::open(&patient).expect_err("no server listens").to_string();
        let waited = started.elapsed();
        assert!(at_once < waited && waited >= AT_START.pause(1), "{at_once:?}, and then {waited:?}");
        assert!(error.contains("cannot be reached"), "{error}");
    }

    #[test]
    fn a_missing_directory_is_created_and_a_wrong_url_is_explained() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}/a/b/claims.db", directory.path().display());
        Database::open(&DatabaseSettings::at(url)).expect("opens");
        let error = Database::open(&DatabaseSettings::at("mysql://x")).expect_err("refused").to_string();
        assert!(error.contains("sqlite://") && error.contains("postgres://"), "{error}");
        let file = directory.path().join("a/b/claims.db");
        let below_a_file = format!("sqlite://{}/claims.db", file.display());
        let error = Database::open(&DatabaseSettings::at(below_a_file)).expect_err("refused").to_string();
        assert!(error.contains("check the path"), "{error}");
    }
}
