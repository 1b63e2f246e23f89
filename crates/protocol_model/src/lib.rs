//! An exhaustive model checker for the protocol of one claim: a breadth-first search over the states of a small world. The
//! decisions are the services' own code ([`payments::domain::saga`], [`claim_process::domain::transition`]); only their
//! surroundings are modelled.
//!
//! The model contains:
//!
//! - Kafka's two topics as sets of messages, each of which may be delivered at any time and any number of times, and which
//!   may be wiped;
//! - the gateway, with one key per claim to pay and one to refund, and requests of live or stopped senders that arrive at any
//!   later time;
//! - a payment that the bank returns;
//! - a refund that fails after it was approved;
//! - crashes of payments between any two writes;
//! - either database restored from a copy of any earlier time;
//! - the watchdog, `reannounce`, and the sender's void.
//!
//! [`search::explore`] checks every state, and that the claim can still come to rest from every state. A violation is reported
//! with a shortest trace that leads to it. [`params::Mutant`] leaves out one rule of the protocol, so that the tests can show
//! that the search finds the violation that the rule prevents.
//!
//! The model must not decide anything that a service decides.

pub mod claim_side;
pub mod gateway;
pub mod intern;
pub mod messages;
pub mod params;
pub mod payments_side;
pub mod properties;
pub mod search;
pub mod steps;
pub mod tables;
pub mod world;
