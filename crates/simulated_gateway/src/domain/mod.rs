//! Requests, responses and the rules between them. Pure: no HTTP, no database, no clock.

pub mod book;
pub mod fate;
pub mod faults;
pub mod request;
pub mod response;
pub mod rules;
pub mod throughput;
pub mod webhook;
