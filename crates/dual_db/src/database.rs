//! A database as a service uses it: a pool to read with, a way to write in one transaction, and bounded retries.

use crate::manager::{Manager, Target};
use crate::{Connection, DatabaseSettings, Error, Migrations, OpenError, Result, migrations};
use r2d2::{Pool, PooledConnection};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use worker_threads::Backoff;

/// How long no connection can be opened before that is an outage, and no longer one that broke by itself.
const OUTAGE: Duration = Duration::from_secs(1);

/// How often a caller that waits for a connection looks whether the database can be reached at all.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Between the attempts of a start that cannot reach its database.
const AT_START: Backoff = Backoff::from_millis(1_000, 8_000);

/// Before a transaction that lost a race is run again: races are short.
const AFTER_A_RACE: Backoff = Backoff::from_millis(1, 128);

/// A pool of connections to one database. Cheap to clone.
///
/// On SQLite all writes of a process go through one connection, which queues them fairly instead of letting them fight
/// for the lock. On PostgreSQL reads and writes share one pool.
#[derive(Debug, Clone)]
pub struct Database {
    readers: Pool<Manager>,
    writers: Pool<Manager>,
    /// Since when no attempt to connect has succeeded; none while the last one did. The pools go on trying.
    unreached_since: Arc<Mutex<Option<Instant>>>,
    checkout_timeout: Duration,
    max_retries: u32,
}

impl Database {
    /// Opens the database, creating the directory of an SQLite file where it is missing.
    ///
    /// # Errors
    /// One sentence for the operator when it cannot be reached, opened or written.
    pub fn open(settings: &DatabaseSettings) -> std::result::Result<Self, OpenError> {
        let unreached_since = Arc::default();
        let manager = Manager {
            target: Target::parse(&settings.url)?,
            settings: settings.clone(),
            unreached_since: Arc::clone(&unreached_since),
        };
        // A first connection by hand: the pool would retry in silence and lose the reason.
        first_connection(&manager)?;
        let pool = |size: u32| {
            Pool::builder()
                .max_size(size)
                // None are opened in advance: a connection that is being opened while the process ends can bring libpq
                // down in the middle of it.
                .min_idle(Some(0))
                .test_on_check_out(true)
                .connection_timeout(Duration::from_millis(settings.checkout_timeout_ms))
                .error_handler(Box::new(LogPoolErrors))
                .build(manager.clone())
                .map_err(|error| OpenError(format!("the database pool could not be filled ({error})")))
        };
        let readers = pool(settings.max_connections)?;
        let writers = match manager.target {
            Target::Sqlite(_) => pool(1)?,
            Target::Postgres(_) => readers.clone(),
        };
        let checkout_timeout = Duration::from_millis(settings.checkout_timeout_ms);
        Ok(Self { readers, writers, unreached_since, checkout_timeout, max_retries: settings.max_retries })
    }

    /// Opens the database and applies what is missing of the given migrations, or only looks whether any is missing where
    /// the settings say so: what every service does first.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub fn open_migrated(settings: &DatabaseSettings, sets: &[&Migrations]) -> std::result::Result<Self, OpenError> {
        let database = Self::open(settings)?;
        if settings.migrate_at_start {
            database.migrate(sets)?;
        } else {
            migrations::check(&mut *database.connection_to_migrate()?, sets)?;
        }
        Ok(database)
    }

    /// Applies what is missing of the given migrations, all in one transaction.
    ///
    /// # Errors
    /// One sentence when a migration fails or the database is newer than this binary.
    pub fn migrate(&self, sets: &[&Migrations]) -> std::result::Result<(), OpenError> {
        migrations::apply(&mut *self.connection_to_migrate()?, sets)
    }

    fn connection_to_migrate(&self) -> std::result::Result<PooledConnection<Manager>, OpenError> {
        let unreachable = |error| OpenError(format!("the database could not be reached to migrate it ({error})"));
        self.writers.get().map_err(unreachable)
    }

    /// Runs a query on a pooled connection. Blocks; call it from a thread that may.
    pub fn read<T>(&self, query: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        query(&mut *self.check_out(&self.readers)?)
    }

    /// Runs `body` in one transaction and commits it. Blocks; call it from a thread that may.
    ///
    /// A transaction that lost a race ([`Error::is_transient`]) is run again from its start, a bounded number of times,
    /// so `body` must change nothing outside the database; what it logs and counts may be said more than once.
    pub fn write<T>(&self, mut body: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        let mut attempt = 1;
        loop {
            let result = self.check_out(&self.writers)?.transaction(&mut body);
            match result {
                Err(error) if error.is_transient() && attempt <= self.max_retries => {
                    tracing::debug!(attempt, error = &error as &dyn std::error::Error, "a transaction is run again");
                    std::thread::sleep(AFTER_A_RACE.pause(attempt));
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    /// A connection: waited for while all are in use, and not at all once the database could not be reached for a second,
    /// so that callers learn of an outage soon.
    fn check_out(&self, pool: &Pool<Manager>) -> Result<PooledConnection<Manager>> {
        let until = Instant::now() + self.checkout_timeout;
        if let Some(connection) = pool.try_get() {
            return Ok(connection);
        }
        loop {
            let unreached_since = *self.unreached_since.lock().unwrap_or_else(PoisonError::into_inner);
            if unreached_since.is_some_and(|since| since.elapsed() >= OUTAGE) {
                return Err(Error::Unavailable("it cannot be reached; the log says why".to_owned()));
            }
            match pool.get_timeout(LOOK_EVERY.min(self.checkout_timeout)) {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() >= until => return Err(error.into()),
                Err(_) => {}
            }
        }
    }

    /// Whether the database answers now.
    pub fn ping(&self) -> Result<()> {
        self.read(Connection::ping)
    }
}

/// Connects once. A server that cannot be reached is waited for as the settings allow, and each time is logged: whoever
/// starts the process again and again would neither pause nor say why.
fn first_connection(manager: &Manager) -> std::result::Result<(), OpenError> {
    let until = Instant::now() + Duration::from_millis(manager.settings.start_timeout_ms);
    let mut attempt = 1;
    loop {
        let pause = AT_START.pause(attempt);
        match manager.connect_to_write() {
            Ok(_) => return Ok(()),
            Err(error) if matches!(manager.target, Target::Postgres(_)) && Instant::now() + pause < until => {
                tracing::warn!("{error}; trying again in {} s", pause.as_secs());
                std::thread::sleep(pause);
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The pool retries by itself and reports here; the reason may name hosts and users, never a password.
#[derive(Debug)]
struct LogPoolErrors;

impl r2d2::HandleError<OpenError> for LogPoolErrors {
    fn handle_error(&self, error: OpenError) {
        tracing::warn!(%error, "a database connection could not be opened");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_for_a_server_only_as_long_as_it_is_allowed_to() {
        let nowhere = DatabaseSettings::at("postgres://nobody@127.0.0.1:1/nothing");
        let started = Instant::now();
        Database::open(&nowhere).expect_err("nobody is there");
        let at_once = started.elapsed();
        let patient = DatabaseSettings { start_timeout_ms: 10_000, ..nowhere };
        let started = Instant::now();
        let error = Database::open(&patient).expect_err("nobody came").to_string();
        let waited = started.elapsed();
        assert!(at_once < waited && waited >= AT_START.pause(1), "{at_once:?}, and then {waited:?}");
        assert!(error.contains("cannot be reached"), "{error}");
    }

    #[test]
    fn a_missing_directory_is_made_and_a_bad_url_is_explained() {
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
