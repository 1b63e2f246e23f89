//! Events: hearing what claim_process says, and saying what became of payments.

pub mod claims;
pub mod outgoing;
