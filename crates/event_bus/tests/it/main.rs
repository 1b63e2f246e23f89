//! Tests of the event bus through its public interface: producer and consumer, with a broker for each test, on both databases.

#![allow(clippy::unwrap_used, reason = "clippy does not see that what on_both_databases! writes are tests")]

mod before_publish;
mod bus;
mod consumer;
mod dead_letters;
mod group;
mod join_again;
mod logged;
mod no_room;
mod partitions;
mod pointers;
mod poison;
mod readiness;
mod refusals;
mod relay;
mod security;
mod unpublishable;
