//! The event bus from outside: its way out and its way in, with a broker of each test's own, on both databases.

#![allow(clippy::unwrap_used, reason = "clippy does not see that what on_both_databases! writes are tests")]

mod before_publish;
mod bus;
mod consumer;
mod dead_letters;
mod group;
mod no_room;
mod partitions;
mod relay;
mod security;
mod unpublishable;
