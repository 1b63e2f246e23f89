//! The journal on real files: what was acknowledged is read back, however the last write ended, and damage is found.

mod appending;
mod damage;
mod fixture;
mod power_loss;
