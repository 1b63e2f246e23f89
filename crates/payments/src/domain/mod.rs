//! What a payment is and what may happen to it: pure, without I/O, clocks or threads.
//!
//! [`saga`] decides; [`ledger`] says what is booked. Whoever calls them writes what they return, one write each, so a
//! crash is tested by not calling again.

pub mod concurrency;
pub mod gateway_call;
pub mod ledger;
pub mod reasons;
pub mod restore_marker;
pub mod saga;
