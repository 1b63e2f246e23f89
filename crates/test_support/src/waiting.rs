//! Waiting for an event: looking again and again until it is there. The pauses here are the only ones in tests.

use std::time::{Duration, Instant};

/// Longer than anything that a test waits for may take, also on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until there is something to see, and returns it.
///
/// # Panics
/// When there is nothing for [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < until, "still waiting for this: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks again and again until it is so. Blocks.
///
/// # Panics
/// When it is not so for [`PATIENCE`].
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "still waiting for this: {what}");
        std::thread::sleep(PAUSE);
    }
}
