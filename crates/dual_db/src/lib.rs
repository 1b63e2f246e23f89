//! One Diesel connection type over SQLite and PostgreSQL: pools, transactions, migrations and test databases.
//!
//! It knows nothing of claims. A service writes a query once, with [`on_each_backend!`], and Diesel checks it against
//! both databases; SQL that really differs gets an explicit `match` on [`Connection`].

mod connection;
mod database;
#[cfg(test)]
mod door;
mod error;
mod manager;
mod migrations;
pub mod schema_drift;
mod settings;
pub mod testing;

pub use connection::Connection;
pub use database::Database;
pub use error::{Error, OpenError, Result};
pub use migrations::Migrations;
pub use settings::DatabaseSettings;
