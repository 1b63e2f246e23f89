//! The use cases: submitting, checking, voiding and reading claims, alone and in batches. They know the domain, the
//! database and the outbox, and know no HTTP: any other way in can call them as `http` does.

pub mod admission;
pub mod batch;
pub mod canonical_forms;
pub mod decision;
mod idempotency;
pub mod key_purge;
pub mod preflight;
pub mod queries;
pub mod store;
pub mod submission;
pub mod submit;
pub mod tally;
pub mod void;
pub mod writer;
