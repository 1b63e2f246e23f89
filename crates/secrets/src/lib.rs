//! Settings that hold a secret. `Debug` and `Serialize` show a mask in its place, so that neither a log line nor the command
//! `settings` prints it; code that needs the secret itself calls `expose`.

mod masked_url;
mod secret;

pub use masked_url::masked_url;
pub use secret::Secret;

/// What stands in the place of a secret.
pub const MASK: &str = "********";
