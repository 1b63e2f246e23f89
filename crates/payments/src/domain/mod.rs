//! What a payment is and what may happen to it: pure, without I/O, clocks or threads.
//!
//! [`saga`] decides; [`ledger`] names what is booked. The executor writes what they return, one write each, so a crash is
//! tested by not calling again.

pub mod concurrency;
pub mod gateway_call;
pub mod ledger;
pub mod reasons;
pub mod restore_marker;
pub mod saga;
