//! The unit of the times that the databases store.

use std::time::Duration;

/// A duration in whole microseconds, the unit of the databases' times; one that is too long is cut to what a time can
/// still be added to.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 2)
}
