//! Embedded migrations: one tree a backend, applied in one transaction, safe when several instances start at once.

use crate::{Connection, Error, OpenError};
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel::{RunQueryDsl, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use std::collections::BTreeMap;

/// The key of PostgreSQL's advisory lock under which migrations run (any number, the same for all instances).
const ADVISORY_LOCK: i64 = 0x636c_6169_6d73;

/// One set of migrations, written for both backends. A crate that owns tables exports one of these.
#[allow(missing_debug_implementations)]
pub struct Migrations {
    /// The tree under `migrations/sqlite`.
    pub sqlite: EmbeddedMigrations,
    /// The tree under `migrations/postgres`.
    pub postgres: EmbeddedMigrations,
}

/// Applies what is missing. Waits while another instance migrates the same database.
pub(crate) fn apply(connection: &mut Connection, sets: &[&Migrations]) -> Result<(), OpenError> {
    let mut problem = None;
    let result = connection.transaction(|connection| {
        let outcome = match connection {
            Connection::Sqlite(c) => run::<Sqlite, _>(c, sets.iter().map(|set| &set.sqlite)),
            Connection::Postgres(c) => {
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
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        OpenError(format!("the database could not be migrated ({error}): restore it from a snapshot or ask for help"))
    };
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
    for applied in harness.applied_migrations().map_err(failed)? {
        if known.remove(&applied.to_string()).is_none() {
            return Err(OpenError(format!(
                "the database was migrated by a newer version of this program (migration {applied}): run that version or a newer one"
            )));
        }
    }
    for migration in known.values() {
        harness.run_migration(migration).map_err(failed)?;
    }
    Ok(())
}
