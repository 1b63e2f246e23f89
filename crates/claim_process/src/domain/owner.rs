//! Owners: to whom a claim, its idempotency key and its sender's own number belong.

/// The owner of everything that no other owner is stamped on.
pub const LOCAL: &str = "local";
