//! The database: one file an aggregate, its queries beside its table. Nothing here decides anything:
//! it reads facts and writes what `domain` and `claims` decided.

pub mod agreement;
pub mod attention;
pub mod canonical_forms;
pub mod claims;
pub mod duplicates;
pub mod facts;
pub mod idempotency;
pub mod insert;
pub mod insert_group;
pub mod outcome;
pub mod outcomes;
pub mod provider_totals;
pub mod reconciliation;
pub mod requests;
#[allow(missing_docs, reason = "the struct of a row documents its columns")]
pub mod schema;

use diesel_migrations::embed_migrations;
use dual_db::Migrations;

dual_db::text_columns!(crate::domain::timeline::TimelineEvent, crate::domain::transition::Status);

/// The tables of this service; the event bus brings its own.
pub static MIGRATIONS: Migrations = Migrations {
    sqlite: embed_migrations!("migrations/sqlite"),
    postgres: embed_migrations!("migrations/postgres"),
    probes: schema::PROBES,
};

/// Rows in one INSERT: below SQLite's bound of 32,766 parameters for the widest table.
pub(crate) const ROWS_PER_INSERT: usize = 1_000;
