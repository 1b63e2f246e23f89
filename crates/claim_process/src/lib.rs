//! claim_process: accepts dental claims over HTTP, stores them, publishes them, and applies the outcomes that payments publishes.
//!
//! `http` answers, `intake` reads what senders send, `claims` holds the use cases, `domain` decides, `db` holds the queries,
//! `events` speaks with Kafka. `app` puts it together.

pub mod app;
pub mod claims;
pub mod db;
pub mod domain;
pub mod events;
pub mod http;
pub mod intake;
pub mod metrics;
pub mod settings;
pub mod waiting;
