//! Background threads of a process, what they report of their work, and the pauses between attempts.
//!
//! It depends on nothing but `tracing`, so that any crate may use it.

mod backoff;
mod periodic;
mod thread;
mod worker;

pub use backoff::Backoff;
pub use periodic::{Pace, Periodic, stop_all};
pub use thread::spawn;
pub use worker::{Worker, WorkerState};
