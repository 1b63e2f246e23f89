//! How long to wait before something is tried again.

use std::time::Duration;

/// Doublings after which a pause no longer grows, whatever its bound.
const MOST_DOUBLINGS: u32 = 30;

/// `first`, doubled as often as it was tried before, up to `longest`.
pub fn doubling(first: Duration, longest: Duration, tried_before: u32) -> Duration {
    first.saturating_mul(1 << tried_before.min(MOST_DOUBLINGS)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_bound() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let pauses: Vec<u128> = (0..6).map(|tried| doubling(first, longest, tried).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(doubling(first, longest, u32::MAX), longest);
        assert_eq!(doubling(Duration::MAX, longest, 5), longest);
    }
}
