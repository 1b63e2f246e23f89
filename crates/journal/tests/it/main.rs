//! The journal on real files: what was acknowledged is read back, however the last write ended, and damage is found.

#![allow(clippy::unwrap_used, reason = "clippy does not see that what the tests share is tests")]

mod appending;
mod damage;
mod fixture;
mod power_loss;
