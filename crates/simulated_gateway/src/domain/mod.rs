//! What a gateway is asked, what it answers and why. Pure: no HTTP, no database, no clock.

pub mod answer;
pub mod book;
pub mod fate;
pub mod faults;
pub mod request;
pub mod rules;
pub mod throughput;
pub mod webhook;
