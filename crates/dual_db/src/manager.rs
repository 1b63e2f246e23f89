//! Opens connections for the pool. The URL's scheme chooses the backend, so that an error is about that backend only.

use crate::deadline::Deadline;
use crate::postgres_url::with_parameters;
use crate::session::Session;
use crate::{Connection, DatabaseSettings, DatabaseUrl, OpenError, Pooler, on_each_backend, pooler, pooler_check};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::sql_types::Text;
use diesel::{Connection as _, QueryableByName, RunQueryDsl};
use diesel::{PgConnection, SqliteConnection, sql_query};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Older versions of SQLite can lose commits when the write-ahead log is reset (<https://sqlite.org/wal.html>).
const OLDEST_SAFE_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// How long a connection that is handed out may take to answer a query that needs nothing but an answer.
const PING: Duration = Duration::from_secs(2);

/// A connection that was handed back so recently is handed out without a ping, which costs as much as a short statement. One that
/// broke meanwhile fails its next statement, as one that breaks a little later does.
const RECENTLY: Duration = Duration::from_millis(100);

/// The backend and the address that a URL names.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres(DatabaseUrl),
}

impl Target {
    pub(crate) fn parse(database: &DatabaseUrl) -> Result<Self, OpenError> {
        let url = database.expose();
        if let Some(path) = url.strip_prefix("sqlite://") {
            if path.is_empty() {
                return Err(OpenError(
                    "the database URL 'sqlite://' names no file: write sqlite://path/to/file.db".into(),
                ));
            }
            return Ok(Target::Sqlite(PathBuf::from(path)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Target::Postgres(database.clone()));
        }
        Err(OpenError(
            "the database URL must begin with sqlite:// or postgres://, for example sqlite://.local/claims.db".into(),
        ))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) target: Target,
    pub(crate) settings: DatabaseSettings,
    /// Since when no attempt to connect has succeeded; `None` if the last one did. The pools keep trying.
    pub(crate) unreached_since: Arc<Mutex<Option<Instant>>>,
    /// How many connections were closed because the server did not answer. Those that were opened before the last one are
    /// replaced, because each of them may be silent too.
    pub(crate) silences: Arc<AtomicU64>,
}

impl Manager {
    /// Connects, and checks that the database can be written: SQLite also opens a file that it cannot write. Refuses a pooler
    /// that the settings do not name.
    pub(crate) fn connect_to_write(&self) -> Result<Connection, OpenError> {
        if let (Target::Postgres(url), Pooler::None) = (&self.target, self.settings.pooler) {
            pooler_check::refuse_transaction_pooler(|| self.establish(url.expose()))?;
        }
        let mut connection = r2d2::ManageConnection::connect(self)?;
        if let (Connection::Sqlite(sqlite), Target::Sqlite(path)) = (&mut connection, &self.target) {
            // This number has no use, but setting it writes to the file.
            sqlite.batch_execute("PRAGMA user_version = 0").map_err(|error| cannot_be_written(path, &error))?;
        }
        Ok(connection)
    }
}

fn cannot_be_written(path: &Path, error: &diesel::result::Error) -> OpenError {
    sqlite_error(path, &format!("cannot be written ({error})"))
}

fn sqlite_error(path: &Path, what: &str) -> OpenError {
    OpenError(format!(
        "the SQLite database {} {what}: check the path and that this user may write there",
        path.display()
    ))
}

impl r2d2::ManageConnection for Manager {
    type Connection = Connection;
    type Error = OpenError;

    fn connect(&self) -> Result<Connection, OpenError> {
        let connected = match &self.target {
            Target::Sqlite(path) => self.open_sqlite(path).map(Connection::Sqlite),
            Target::Postgres(url) => self.open_postgres(url.expose()).map(Connection::Postgres),
        };
        let mut unreached_since = self.unreached_since.lock().unwrap_or_else(PoisonError::into_inner);
        *unreached_since = if connected.is_ok() { None } else { unreached_since.or_else(|| Some(Instant::now())) };
        drop(unreached_since);
        connected
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), OpenError> {
        if !connection.session().is_usable(self.silences.load(Ordering::SeqCst)) {
            return Err(OpenError("the connection is older than a silence of the server".to_owned()));
        }
        if connection.session().was_returned_within(RECENTLY) {
            return Ok(());
        }
        match connection {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(_) => connection
                .with_deadlines(PING.min(self.silence_timeout()), Connection::ping)
                .map_err(|error| OpenError(error.to_string())),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        let session = connection.session();
        session.clear();
        session.note_return();
        // After a panic or a failed rollback a transaction may still be open.
        !session.is_usable(self.silences.load(Ordering::SeqCst))
            || std::thread::panicking()
            || on_each_backend!(connection, |c| AnsiTransactionManager::is_broken_transaction_manager(c))
    }
}

impl Manager {
    fn silence_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.silence_timeout_ms)
    }

    fn session(&self, deadline: Option<Arc<Deadline>>, silences: u64) -> Session {
        Session::new(deadline, self.silence_timeout(), Duration::from_millis(self.settings.report_timeout_ms), silences)
    }

    fn open_sqlite(&self, path: &Path) -> Result<SqliteConnection, OpenError> {
        let mut connection = open_sqlite(path, &self.settings)?;
        connection.set_instrumentation(self.session(None, self.silences.load(Ordering::SeqCst)));
        Ok(connection)
    }

    fn open_postgres(&self, url: &str) -> Result<PgConnection, OpenError> {
        let mut connection = self.establish(url)?;
        pooler::set_up(&mut connection, &self.settings)
            .map_err(|error| OpenError(format!("the PostgreSQL session could not be set up ({error})")))?;
        Ok(connection)
    }

    fn establish(&self, url: &str) -> Result<PgConnection, OpenError> {
        let silences = self.silences.load(Ordering::SeqCst);
        let at_least_ms = u32::try_from(self.settings.silence_timeout_ms).unwrap_or(u32::MAX / 2);
        let deadline = Deadline::register(at_least_ms, &self.silences);
        let url = with_parameters(url, &self.settings, deadline.user_timeout_ms());
        // libpq limits connecting itself, and Diesel runs statements before it returns the connection.
        deadline.set_for_opening(self.silence_timeout());
        let connected = PgConnection::establish(&url);
        deadline.clear();
        let mut connection = connected.map_err(|error| {
            OpenError(format!(
                "the PostgreSQL database cannot be reached ({}): check host, port, user, password and database name in the URL",
                first_line(&error.to_string())
            ))
        })?;
        connection.set_instrumentation(self.session(Some(deadline), silences));
        Ok(connection)
    }
}

fn open_sqlite(path: &Path, settings: &DatabaseSettings) -> Result<SqliteConnection, OpenError> {
    let cannot = |what: &str| sqlite_error(path, what);
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .map_err(|error| cannot(&format!("has no directory, and it could not be created ({error})")))?;
    }
    let text = path.to_str().ok_or_else(|| cannot("has a path that is not UTF-8"))?;
    let mut connection =
        SqliteConnection::establish(text).map_err(|error| cannot(&format!("cannot be opened ({error})")))?;
    // busy_timeout comes first: switching to the write-ahead log already needs a lock.
    connection
        .batch_execute(&format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            settings.busy_timeout_ms
        ))
        .map_err(|error| cannot_be_written(path, &error))?;
    assert_safe_version(&mut connection)?;
    Ok(connection)
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

fn assert_safe_version(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let found: Version = sql_query("SELECT sqlite_version() AS version")
        .get_result(connection)
        .map_err(|error| OpenError(format!("the version of SQLite cannot be read ({error})")))?;
    let mut parts = found.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < OLDEST_SAFE_SQLITE {
        return Err(OpenError(format!(
            "SQLite {} can lose commits; build with the bundled libsqlite3-sys (3.51.3 or newer)",
            found.version
        )));
    }
    Ok(())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}
