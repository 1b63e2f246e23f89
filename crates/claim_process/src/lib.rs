//! claim_process: takes dental claims in over HTTP, stores them, tells payments, and applies what became of them.
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
pub mod settings;
