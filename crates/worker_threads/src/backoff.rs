//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Doublings after which a pause no longer grows, whatever its bound.
const MOST_DOUBLINGS: u32 = 30;

/// Pauses that double from the first one up to the longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// From the first and the longest pause, in milliseconds.
    pub const fn from_millis(first_ms: u64, longest_ms: u64) -> Self {
        Self { first: Duration::from_millis(first_ms), longest: Duration::from_millis(longest_ms) }
    }

    /// The pause after so many failed attempts; after the first of them, the first pause.
    pub fn pause(self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(MOST_DOUBLINGS);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// The same pause, longer by up to a quarter (jitter), so that many things that failed together are not all tried again
    /// together. How much longer depends on the attempts and on `key`, the name of the thing, and not on chance: a test can
    /// repeat it.
    pub fn pause_with_jitter(self, attempts: u32, key: &str) -> Duration {
        let pause = self.pause(attempts);
        let seed = key.bytes().fold(u64::from(attempts), |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let thousandths = u32::try_from(seed % 1_000).unwrap_or(0);
        pause.saturating_add(pause / 4 * thousandths / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_pause_doubles_up_to_its_bound() {
        let backoff = Backoff::from_millis(100, 1_000);
        let pauses: Vec<u128> = (0..=6).map(|attempts| backoff.pause(attempts).as_millis()).collect();
        assert_eq!(pauses, [100, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.pause(u32::MAX), Duration::from_secs(1));
        assert_eq!(Backoff::from_millis(u64::MAX, 1_000).pause(5), Duration::from_secs(1));
        assert_eq!(Backoff::from_millis(1_000, 10).pause(1), Duration::from_millis(10));
    }

    #[test]
    fn jitter_adds_up_to_a_quarter_spreads_keys_and_can_be_repeated() {
        let backoff = Backoff::from_millis(8_000, 60_000);
        let keys: Vec<String> = (0..100).map(|number| format!("claim-{number}")).collect();
        let pauses: BTreeSet<Duration> = keys.iter().map(|key| backoff.pause_with_jitter(2, key)).collect();
        assert!(pauses.len() > 50, "{pauses:?}");
        assert!(pauses.iter().all(|pause| (16_000..20_000).contains(&pause.as_millis())), "{pauses:?}");
        assert_eq!(backoff.pause_with_jitter(2, "claim-1"), backoff.pause_with_jitter(2, "claim-1"));
    }
}
