//! Everything that can happen to one claim, tried out: a breadth-first search over the states of a small world in which
//! the decisions are the services' own ([`payments::domain::saga`], [`claim_process::domain::transition`]) and only what
//! lies between and around them is modelled.
//!
//! Modelled are: Kafka's two topics as sets of messages, each of which may be delivered at any time and as often as one
//! likes, and which may be wiped; the gateway with one key a claim to pay and one to refund; requests of live or stopped
//! senders that arrive at any later time; a payment that the bank returns; payments' crashes between any two writes;
//! either database put back to a copy from any earlier time; the watchdog, asking anew, and the sender's void.
//!
//! [`search::explore`] checks every state, and that from every state the claim can still come to rest. What it finds comes
//! with the shortest way that leads there. [`params::Mutant`] leaves one rule of the protocol out, by which the tests show
//! that the search would notice.
//!
//! It must not decide anything that a service decides.

pub mod claim_side;
pub mod gateway;
pub mod happenings;
pub mod intern;
pub mod messages;
pub mod params;
pub mod payments_side;
pub mod properties;
pub mod search;
pub mod tables;
pub mod world;
