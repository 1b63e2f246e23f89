//! One Diesel connection type over SQLite and PostgreSQL: pools, transactions and migrations.
//!
//! It knows nothing of claims. A service writes a query once, with [`on_each_backend!`], and Diesel checks it against
//! both databases. SQL that differs between them needs an explicit `match` on [`Connection`].

mod connection;
mod damage;
mod database;
mod deadline;
mod due_times;
mod error;
mod manager;
pub mod metrics;
mod micros;
mod migrations;
mod pooler;
mod pooler_check;
mod postgres_url;
mod probe;
mod session;
mod settings;
mod socket;
mod statistics;
mod text_columns;
pub mod trusted_clock;
mod trusted_time;
mod url;

pub use connection::Connection;
pub use database::Database;
pub use due_times::DueTimes;
pub use error::{Error, OpenError, Result};
pub use micros::micros;
pub use migrations::Migrations;
pub use settings::{DatabaseSettings, Pooler};
pub use statistics::{analyze_grown, keep_statistics};
pub use trusted_clock::TrustedClock;
pub use url::DatabaseUrl;
