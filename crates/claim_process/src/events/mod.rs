//! Events: what claim_process says about a claim, what it does with outcomes, and asking again for those that do not come.

pub mod outcomes;
pub mod outgoing;
pub mod reannounce;
pub mod watchdog;
