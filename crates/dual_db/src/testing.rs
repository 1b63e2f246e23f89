//! A fresh database for each test, on both backends: [`on_both_databases!`] writes a test once and runs it on each.
//!
//! SQLite needs nothing. PostgreSQL runs where `TEST_POSTGRES_URL` names a server on which databases may be created;
//! elsewhere the test is noted as skipped.

use crate::{Database, DatabaseSettings};
use diesel::{Connection as _, PgConnection, RunQueryDsl, sql_query};
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that names a PostgreSQL server for tests: `postgres://user@host:port/postgres`.
pub const POSTGRES_URL_VARIABLE: &str = "TEST_POSTGRES_URL";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database of a test's own, removed when it is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    database: Option<Database>,
    settings: DatabaseSettings,
    cleanup: Cleanup,
}

#[derive(Debug)]
enum Cleanup {
    Directory { _guard: tempfile::TempDir },
    Postgres { server_url: String, name: String },
}

impl TestDatabase {
    /// A new SQLite file.
    pub fn sqlite() -> Self {
        let guard = tempfile::tempdir().expect("a temporary directory can be made");
        let settings = DatabaseSettings::at(format!("sqlite://{}/test.db", guard.path().display()));
        Self::open(settings, Cleanup::Directory { _guard: guard })
    }

    /// A new PostgreSQL database, or `None` where no server is named.
    pub fn postgres() -> Option<Self> {
        let server_url = std::env::var(POSTGRES_URL_VARIABLE).ok().filter(|url| !url.is_empty())?;
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run_on_server(&server_url, &format!("CREATE DATABASE {name}"));
        let (server, _) = server_url.rsplit_once('/').expect("the URL of the test server ends in /database");
        let mut settings = DatabaseSettings::at(format!("{server}/{name}"));
        settings.max_connections = 4;
        Some(Self::open(settings, Cleanup::Postgres { server_url, name }))
    }

    fn open(settings: DatabaseSettings, cleanup: Cleanup) -> Self {
        let database = Database::open(&settings).expect("a fresh test database opens");
        Self { database: Some(database), settings, cleanup }
    }

    /// The database.
    pub fn database(&self) -> &Database {
        self.database.as_ref().expect("open until it is dropped")
    }

    /// The settings that reach it, for a service under test.
    pub fn settings(&self) -> &DatabaseSettings {
        &self.settings
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.database = None;
        if let Cleanup::Postgres { server_url, name } = &self.cleanup {
            run_on_server(server_url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

/// Notes that a test could not run, by name and with the reason, where `TEST_SKIPS_FILE` says: the test runner counts such tests as passed, so whoever
/// set that file counts them out. In CI a server that is missing is a failure.
///
/// # Panics
/// When `CI` is set.
pub fn note_skipped(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{reason}, and in CI every test must run");
    eprintln!("skipped: {reason}");
    let Some(file) = std::env::var_os("TEST_SKIPS_FILE") else { return };
    // A test runs on a thread of its name.
    let line = format!("{}\t{reason}\n", std::thread::current().name().unwrap_or_default());
    let noted = std::fs::OpenOptions::new().append(true).open(file).and_then(|mut file| {
        // One write, so that tests on many threads do not mix their lines.
        std::io::Write::write_all(&mut file, line.as_bytes())
    });
    noted.expect("a skipped test can be noted");
}

/// [`note_skipped`], for want of a PostgreSQL server.
pub fn skip_without_postgres() {
    note_skipped(&format!("{POSTGRES_URL_VARIABLE} names no PostgreSQL server"));
}

fn run_on_server(server_url: &str, sql: &str) {
    let mut connection = PgConnection::establish(server_url).expect("the PostgreSQL test server answers");
    sql_query(sql).execute(&mut connection).expect("the PostgreSQL test server makes and drops databases");
}

/// Writes each test once and runs it on a fresh SQLite database and on a fresh PostgreSQL database:
/// `fn name(database: &Database) { … }` becomes `name::sqlite` and `name::postgres`. A parameter of the type
/// `&TestDatabase` gets the whole test database instead.
#[macro_export]
macro_rules! on_both_databases {
    ($( $(#[$attribute:meta])* fn $name:ident($database:ident: &$kind:ident) $body:block )+) => {
        $( mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn run($database: &$kind) $body

            #[test]
            $(#[$attribute])*
            fn sqlite() {
                run((&$crate::testing::TestDatabase::sqlite()).into());
            }

            #[test]
            $(#[$attribute])*
            fn postgres() {
                match $crate::testing::TestDatabase::postgres() {
                    Some(test_database) => run((&test_database).into()),
                    None => $crate::testing::skip_without_postgres(),
                }
            }
        } )+
    };
}
pub use crate::on_both_databases;

impl<'a> From<&'a TestDatabase> for &'a Database {
    fn from(test: &'a TestDatabase) -> Self {
        test.database()
    }
}
