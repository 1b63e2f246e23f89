//! A payment gateway to try things with: its own process, its own durable book.
//!
//! It stands for a bank's or a card network's gateway, so it shares nothing with whoever pays through it: it is reached
//! by HTTP alone, and what it has paid, declined and paid back is in a database of its own. The cents of an amount choose
//! what becomes of it (`domain/fate.rs`), so that every kind of failure can be had on demand. No money moves.

pub mod app;
mod db;
mod domain;
mod http;
pub mod settings;
pub mod webhooks;
