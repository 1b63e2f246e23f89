//! payments: consumes claim events, runs each payment as a saga, and publishes whether it was settled or unwound.
//!
//! `domain` decides, `executor` writes what it decides, `gateway` makes the calls, `worker` moves sagas on, `db` holds
//! the tables, `queries` reads them for `http`, `events` consumes from Kafka, `http` answers. `app` puts it together.

pub mod app;
pub mod db;
pub mod domain;
pub mod events;
pub mod executor;
pub mod gateway;
pub mod http;
pub mod messages;
pub mod metrics;
pub mod queries;
pub mod settings;
pub mod worker;
