//! A fresh database for each test. [`on_both_databases!`](crate::on_both_databases) runs a test on both backends.
//!
//! SQLite needs no server. PostgreSQL needs the server that `TEST_POSTGRES_URL` names, on which tests may create databases.

use crate::{postgres_url, unique};
use diesel::{Connection as _, PgConnection, RunQueryDsl, sql_query};
use dual_db::{Database, DatabaseSettings};

/// A database for one test, removed when it is dropped.
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
    /// Creates a SQLite file.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn sqlite() -> Self {
        let guard = tempfile::tempdir().expect("a temporary directory can be created");
        let settings = DatabaseSettings::at(format!("sqlite://{}/test.db", guard.path().display()));
        Self::open(settings, Cleanup::Directory { _guard: guard })
    }

    /// Creates a PostgreSQL database.
    ///
    /// # Panics
    /// If the environment names no server, or the database cannot be created. Write a test that calls this in
    /// [`on_postgres!`](crate::on_postgres).
    pub fn postgres() -> Self {
        let server_url = postgres_url();
        let name = unique("test");
        run_on_server(&server_url, &format!("CREATE DATABASE {name}"));
        let (server, _) = server_url.rsplit_once('/').expect("the URL of the test server ends in /database");
        let mut settings = DatabaseSettings::at(format!("{server}/{name}"));
        settings.max_connections = 4;
        Self::open(settings, Cleanup::Postgres { server_url, name })
    }

    fn open(settings: DatabaseSettings, cleanup: Cleanup) -> Self {
        let database = Database::open(&settings).expect("a fresh test database opens");
        Self { database: Some(database), settings, cleanup }
    }

    /// The database.
    ///
    /// # Panics
    /// Never.
    pub fn database(&self) -> &Database {
        self.database.as_ref().expect("open until it is dropped")
    }

    /// The settings of the database, for a service under test.
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

fn run_on_server(server_url: &str, sql: &str) {
    let mut connection = PgConnection::establish(server_url).expect("the PostgreSQL test server answers");
    sql_query(sql).execute(&mut connection).expect("the PostgreSQL test server creates and drops databases");
}

impl<'a> From<&'a TestDatabase> for &'a Database {
    fn from(test: &'a TestDatabase) -> Self {
        test.database()
    }
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
                run((&$crate::TestDatabase::sqlite()).into());
            }

            $crate::on_postgres! {
                #[test]
                $(#[$attribute])*
                fn postgres() {
                    run((&$crate::TestDatabase::postgres()).into());
                }
            }
        } )+
    };
}
