//! A simulated payment gateway for development and tests: a process with a durable book.
//!
//! It takes the place of a bank's or a card network's gateway, so it shares nothing with its payers: they use it by HTTP only,
//! and it stores payments, declines and refunds in a database of its own. The cents of an amount choose the fate of a payment
//! (`domain/fate.rs`), so that every kind of failure can be produced on demand. No money moves.

pub mod app;
mod db;
mod domain;
mod http;
pub mod metrics;
pub mod settings;
pub mod webhooks;
mod writer;
