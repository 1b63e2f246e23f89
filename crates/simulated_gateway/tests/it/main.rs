//! Tests of the gateway over HTTP on a free port, each with a fresh database, on both databases.

#![allow(clippy::unwrap_used, reason = "clippy does not see that what on_both_databases! writes are tests")]

mod book;
mod faults;
mod gateway;
mod input;
mod payments;
mod program;
mod reference;
mod refunds;
mod returns;
mod unusual;
