//! Unique names for resources that outlive a test: Kafka topics and groups, databases of a server.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that begins with `prefix` and that no other call returns, in this or another process. It appends only letters, digits
/// and `_`.
///
/// # Panics
/// If the clock is before 1970.
pub fn unique(prefix: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{}_{number}", std::process::id(), since.as_micros())
}
