//! Waiting for an event: looking again and again until it is there. The pause here is the only one in tests.

use std::time::{Duration, Instant};

/// Longer than anything that a test waits for may take, also on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The pause after the first look; it doubles from there, so that what is soon there is soon seen and a long wait costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

/// Looks again and again until there is something to see, and returns it.
///
/// # Panics
/// When there is nothing for [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, async || look().await.ok_or_else(|| what.to_owned())).await
}

/// Looks again and again for at most `limit` until there is something to see, and returns it. An error says what there is
/// instead.
///
/// # Panics
/// When there is nothing by then, with the last error.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(instead) => assert!(Instant::now() < until, "still waiting after {limit:?} for this: {instead}"),
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Looks again and again until it is so. Blocks.
///
/// # Panics
/// When it is not so for [`PATIENCE`].
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    while !is_so() {
        assert!(Instant::now() < until, "still waiting for this: {what}");
        std::thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
