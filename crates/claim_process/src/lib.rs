//! claim_process: accepts dental claims over HTTP, stores them, publishes them, and applies the outcomes that payments publishes.
//!
//! `intake` reads what senders send, `domain` decides, `ingest` stores in groups, `db` holds the queries, `events` speaks
//! with Kafka, `http` answers. `app` puts it together.

pub mod app;
pub mod db;
pub mod domain;
pub mod events;
pub mod http;
pub mod ingest;
pub mod intake;
pub mod key_purge;
pub mod settings;
