//! The time between groups of work.

use std::time::{Duration, Instant};

/// Spaces out groups whose fixed cost is high, such as a commit or a request: under load a group begins an interval after the one
/// before it, and so is larger. After a rest a group begins at once, so nothing waits on an idle system.
#[derive(Debug, Clone)]
pub struct Spacing {
    interval: Duration,
    next_at: Option<Instant>,
}

impl Spacing {
    /// A spacing that begins with a rest.
    pub fn new(interval: Duration) -> Self {
        Self { interval, next_at: None }
    }

    /// How long after `now` the next group begins; zero after a rest.
    pub fn wait(&self, now: Instant) -> Duration {
        self.next_at.map_or(Duration::ZERO, |next_at| next_at.saturating_duration_since(now))
    }

    /// Notes that a group begins.
    pub fn begin(&mut self, now: Instant) {
        self.next_at = Some(now + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_the_interval_after_the_last_one_and_for_nothing_after_a_rest() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut spacing = Spacing::new(Duration::from_millis(20));
        assert_eq!(spacing.wait(start), Duration::ZERO);
        spacing.begin(start);
        assert_eq!(spacing.wait(at(5)), Duration::from_millis(15));
        assert_eq!(spacing.wait(at(20)), Duration::ZERO);
        spacing.begin(at(20));
        assert_eq!(spacing.wait(at(39)), Duration::from_millis(1));
        assert_eq!(spacing.wait(at(1_000)), Duration::ZERO);
    }
}
