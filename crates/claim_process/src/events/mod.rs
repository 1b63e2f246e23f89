//! Events: the claim events that claim_process publishes, the outcomes that it consumes, and the re-requests for outcomes
//! that do not come.

pub mod outcomes;
pub mod outgoing;
pub mod reannounce;
pub mod rebuild;
pub mod watchdog;
