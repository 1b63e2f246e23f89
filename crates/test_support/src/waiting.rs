//! Waits for an event by polling. This is the only pause in tests.

use std::time::{Duration, Instant};

/// Longer than any event that a test waits for, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The pause after the first poll. It doubles each time, so that an early event is noticed early and a long wait costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two polls.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// Polls until `look` returns a value, and returns it.
///
/// # Panics
/// If it returns none within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, async || look().await.ok_or_else(|| what.to_owned())).await
}

/// Polls for at most `limit` until `look` returns `Ok`, and returns the value. An error describes the current state.
///
/// # Panics
/// If it does not return `Ok` by then, with the last error.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(instead) => assert!(Instant::now() < until, "still waiting after {limit:?}: {instead}"),
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Polls until `is_so` returns true. Blocks.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    while !is_so() {
        assert!(Instant::now() < until, "still waiting: {what}");
        std::thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
