//! Background threads of a process, and the pauses between attempts.
//!
//! It depends on nothing but `tracing`, so that any crate may use it.

mod backoff;
mod periodic;
mod thread;

pub use backoff::Backoff;
pub use periodic::{Pace, Periodic, stop_all};
pub use thread::spawn;
