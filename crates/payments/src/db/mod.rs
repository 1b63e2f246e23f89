//! The database: one file an aggregate, its queries beside its table. Nothing here decides anything; `domain` does.

pub mod attention;
pub mod budgets;
pub mod ledger;
pub mod operator_actions;
pub mod restore_marker;
pub mod returns;
pub mod sagas;
#[allow(missing_docs, reason = "what a column means is said in the struct of its row")]
pub mod schema;
mod statement;

use crate::domain::ledger::{Kind, Weight};
use crate::domain::saga::{ActionKind, Forced, PaymentState, State};
use diesel_migrations::embed_migrations;
use dual_db::Migrations;

dual_db::text_columns!(ActionKind, Forced, Kind, PaymentState, State, Weight);

/// The tables of this service; the event bus brings its own.
pub static MIGRATIONS: Migrations = Migrations {
    sqlite: embed_migrations!("migrations/sqlite"),
    postgres: embed_migrations!("migrations/postgres"),
    probes: schema::PROBES,
};
