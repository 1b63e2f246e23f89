//! payments: hears of claims, runs each payment as a saga, and says whether it was settled or unwound.
//!
//! `domain` decides, `executor` writes what it decides, `gateway` makes the calls, `worker` moves sagas on, `db` holds
//! the tables, `queries` reads them for `http`, `events` speaks with Kafka, `http` answers. `app` puts it together.

pub mod app;
pub mod db;
pub mod domain;
pub mod events;
pub mod executor;
pub mod gateway;
pub mod http;
pub mod queries;
pub mod settings;
pub mod worker;
