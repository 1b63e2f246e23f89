//! The consumer of claim_process's events.

pub mod claims;
