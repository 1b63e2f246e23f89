//! Background threads of a process, what they report of their work, and the times between attempts and between groups of work.
//!
//! It depends on nothing but `tracing`, so that any crate may use it.

mod backoff;
mod periodic;
mod spacing;
mod thread;
mod worker;

pub use backoff::Backoff;
pub use periodic::{Pace, Periodic, stop_all};
pub use spacing::Spacing;
pub use thread::spawn;
pub use worker::{Worker, WorkerState};
