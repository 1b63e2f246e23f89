//! Embedded migrations: a tree for each backend, applied in one transaction, also when several instances start at once.

use crate::{Connection, Error, OpenError, on_each_backend};
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The key of PostgreSQL's advisory lock under which migrations run: any number that all instances share.
const ADVISORY_LOCK: i64 = 0x636c_6169_6d73;

/// One set of migrations, written for both backends. A crate that owns tables exports one of these.
#[allow(missing_debug_implementations)]
pub struct Migrations {
    /// The tree under `migrations/sqlite`.
    pub sqlite: EmbeddedMigrations,
    /// The tree under `migrations/postgres`.
    pub postgres: EmbeddedMigrations,
    /// Statements with which [`Database::probe_write`](crate::Database::probe_write) proves that the tables can be written.
    /// They touch no row of these tables, and are the same on both databases.
    pub probes: &'static [&'static str],
}

/// Applies the missing migrations, each of whose statements may run for `within`. Waits while another instance migrates the same
/// database.
pub(crate) fn apply(connection: &mut Connection, sets: &[&Migrations], within: Duration) -> Result<(), OpenError> {
    let mut problem = None;
    let result = connection.transaction(|connection| {
        let outcome = match connection {
            Connection::Sqlite(c) => run::<Sqlite, _>(c, sets.iter().map(|set| &set.sqlite)),
            Connection::Postgres(c) => {
                let within_ms = within.as_millis();
                c.batch_execute(&format!(
                    "SET LOCAL statement_timeout = {within_ms}; SET LOCAL lock_timeout = {within_ms}"
                ))?;
                sql_query(format!("SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")).execute(c)?;
                run::<Pg, _>(c, sets.iter().map(|set| &set.postgres))
            }
        };
        outcome.map_err(|error| {
            problem = Some(error);
            Error::Query(diesel::result::Error::RollbackTransaction)
        })
    });
    match (result, problem) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(problem)) => Err(problem),
        (Err(error), None) => Err(OpenError(format!("the database could not be migrated ({error}): try again"))),
    }
}

fn run<'a, Backend, Harness>(
    harness: &mut Harness,
    sources: impl Iterator<Item = &'a EmbeddedMigrations>,
) -> Result<(), OpenError>
where
    Backend: diesel::backend::Backend,
    Harness: MigrationHarness<Backend>,
    EmbeddedMigrations: MigrationSource<Backend>,
{
    let applied = harness.applied_migrations().map_err(failed)?;
    let missing = without(known::<Backend>(sources)?, applied.iter().map(ToString::to_string))?;
    for migration in missing.values() {
        harness.run_migration(migration).map_err(failed)?;
    }
    Ok(())
}

/// Checks that all migrations are applied. Writes nothing, and needs no right to create tables.
pub(crate) fn check(connection: &mut Connection, sets: &[&Migrations]) -> Result<(), OpenError> {
    let table = match connection {
        Connection::Sqlite(_) => {
            "SELECT name AS text FROM sqlite_master WHERE type = 'table' AND name = '__diesel_schema_migrations'"
        }
        Connection::Postgres(_) => {
            "SELECT to_regclass('__diesel_schema_migrations')::text AS text \
             WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL"
        }
    };
    let mut texts = |query: &str| {
        on_each_backend!(connection, |c| sql_query(query).load::<Text>(c)).map_err(|error| failed(error.into()))
    };
    let applied = if texts(table)?.is_empty() {
        Vec::new()
    } else {
        texts("SELECT version AS text FROM __diesel_schema_migrations")?
    };
    let applied = applied.into_iter().map(|version| version.text);
    let missing: Vec<String> = match connection {
        Connection::Sqlite(_) => {
            without(known::<Sqlite>(sets.iter().map(|set| &set.sqlite))?, applied)?.into_keys().collect()
        }
        Connection::Postgres(_) => {
            without(known::<Pg>(sets.iter().map(|set| &set.postgres))?, applied)?.into_keys().collect()
        }
    };
    if missing.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(Path::file_name).map_or("…".into(), |name| name.to_string_lossy());
    Err(OpenError(format!(
        "the database lacks the migrations {} and the setting database.migrate_at_start is false: run '{program} migrate'",
        missing.join(", ")
    )))
}

/// The migrations of a program, by version.
type Known<Backend> = BTreeMap<String, Box<dyn Migration<Backend>>>;

fn known<'a, Backend>(sources: impl Iterator<Item = &'a EmbeddedMigrations>) -> Result<Known<Backend>, OpenError>
where
    Backend: diesel::backend::Backend,
    EmbeddedMigrations: MigrationSource<Backend>,
{
    let mut known = BTreeMap::new();
    for source in sources {
        for migration in MigrationSource::<Backend>::migrations(source).map_err(failed)? {
            let version = migration.name().version().to_string();
            if known.insert(version.clone(), migration).is_some() {
                return Err(OpenError(format!(
                    "two migrations of this program have the version {version}: rename one"
                )));
            }
        }
    }
    Ok(known)
}

/// The migrations that are not applied. An applied one that is unknown was added by a newer version of the program.
fn without<Backend: diesel::backend::Backend>(
    mut known: Known<Backend>,
    applied: impl Iterator<Item = String>,
) -> Result<Known<Backend>, OpenError> {
    for version in applied {
        if known.remove(&version).is_none() {
            return Err(OpenError(format!(
                "the database was migrated by a newer version of this program (migration {version}): run that version or a newer one"
            )));
        }
    }
    Ok(known)
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> OpenError {
    OpenError(format!("the database could not be migrated ({error}): restore it from a snapshot or ask for help"))
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}
