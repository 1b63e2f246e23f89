//! Tests of the database through its public interface, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "clippy does not see that what on_both_databases! writes are tests")]

mod damage;
mod due_times;
mod outage;
mod pooler;
mod silence;
mod statistics;
mod text_columns;
mod transactions;
mod unusable;
