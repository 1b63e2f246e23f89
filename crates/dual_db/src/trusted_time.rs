//! What time it is, as far as can be trusted. A clock that is read days ahead once would have idempotency keys purged and claims
//! given up for their age. So the trusted time is that of the last run, and advances only by the time that a process has run
//! since, by a clock that cannot be set. What the clock reads beyond that is trusted once a process has run for as long, and the
//! clock kept pace with it.
//!
//! Where that is wrong, things are kept longer. The trusted time never goes back: what is made while the clock is behind it gets
//! the trusted time, so that it is not purged too early once the clock is right again.

/// How much the clock may differ from a run of the process in one step, as when it is adjusted.
const MOST_DRIFT_US: i64 = 1_000_000;

/// The trusted time, and what speaks for a clock that is ahead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedTime {
    trusted_us: i64,
    /// For how long the clock has been ahead and kept pace.
    confirmed_us: i64,
    /// The last reading of the clock; `None` before the first.
    last_us: Option<i64>,
}

impl TrustedTime {
    /// The trusted time as the last run left it, in microseconds since 1970.
    pub fn begin(trusted_us: i64) -> Self {
        Self { trusted_us, confirmed_us: 0, last_us: None }
    }

    /// Advances by a run of `elapsed_us` since the last call, after which the clock reads `now_us`. `others_us` is the time that
    /// other instances trust. Returns how far the clock is ahead of the trusted time, in microseconds: 0 if it is not.
    pub fn advance(&mut self, now_us: i64, elapsed_us: i64, others_us: i64) -> i64 {
        let trusted_us = self.trusted_us.saturating_add(elapsed_us).max(others_us);
        let ahead_us = now_us.saturating_sub(trusted_us).max(0);
        let keeps_pace = self.last_us.is_some_and(|last_us| {
            now_us.saturating_sub(last_us).saturating_sub(elapsed_us).saturating_abs() <= MOST_DRIFT_US
        });
        self.last_us = Some(now_us);
        self.confirmed_us = if ahead_us > 0 && keeps_pace { self.confirmed_us.saturating_add(elapsed_us) } else { 0 };
        let is_confirmed = keeps_pace && self.confirmed_us >= ahead_us;
        self.trusted_us = if is_confirmed { trusted_us.max(now_us) } else { trusted_us };
        if is_confirmed { 0 } else { ahead_us }
    }

    /// The trusted time.
    pub fn trusted_us(self) -> i64 {
        self.trusted_us
    }

    /// The trusted time `elapsed_us` after the last call of [`TrustedTime::advance`].
    pub fn after(self, elapsed_us: i64) -> i64 {
        self.trusted_us.saturating_add(elapsed_us)
    }

    /// The time that something new gets `elapsed_us` after the last call of [`TrustedTime::advance`], where the clock reads
    /// `now_us`. A clock that is behind is made up for, by as long as the thing is kept at most: were it right, and the trusted
    /// time far ahead, it would be kept for ever.
    pub fn creation_time_us(self, now_us: i64, elapsed_us: i64, kept_us: i64) -> i64 {
        now_us.max(self.after(elapsed_us).min(now_us.saturating_add(kept_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;
    const DAY: i64 = 24 * HOUR;
    const WEEK: i64 = 7 * DAY;
    const TICK: i64 = 300 * SECOND;
    /// A time that is right.
    const RIGHT: i64 = 20_000 * DAY;

    /// A process that begins `down_us` after the trusted time `RIGHT`, and its machine's clock.
    struct Run {
        clock: TrustedTime,
        now_us: i64,
    }

    impl Run {
        fn begin(now_us: i64) -> Self {
            let mut clock = TrustedTime::begin(RIGHT);
            clock.advance(now_us, 0, 0);
            Self { clock, now_us }
        }

        /// Runs for so long, in steps, and returns how far the clock is ahead then.
        fn run(&mut self, for_us: i64) -> i64 {
            let mut ahead_us = 0;
            for _ in 0..for_us / TICK {
                self.now_us += TICK;
                ahead_us = self.clock.advance(self.now_us, TICK, 0);
            }
            ahead_us
        }
    }

    #[test]
    fn a_clock_that_is_ahead_is_trusted_after_a_run_of_that_length() {
        for ahead_us in [HOUR, 8 * DAY] {
            let mut run = Run::begin(RIGHT + ahead_us);
            assert_eq!(run.clock.trusted_us(), RIGHT, "what one start reads counts nothing");
            assert_eq!(run.run(ahead_us - TICK), ahead_us);
            assert_eq!(run.clock.trusted_us(), RIGHT + ahead_us - TICK, "only the time that it has run");
            assert_eq!(run.run(TICK), 0);
            assert_eq!(run.clock.trusted_us(), RIGHT + 2 * ahead_us, "a clock that runs so long is right");
        }
        // Ten years cannot be confirmed within a year.
        let mut run = Run::begin(RIGHT + 3_653 * DAY);
        assert_eq!(run.run(365 * DAY), 3_653 * DAY);
        assert_eq!(run.clock.trusted_us(), RIGHT + 365 * DAY);
    }

    #[test]
    fn a_pause_of_the_service_is_made_up_for() {
        // A restart, and a week without a single claim: keys are kept longer for as long again.
        for down_us in [10 * SECOND, WEEK] {
            let mut run = Run::begin(RIGHT + down_us);
            run.run(down_us + TICK);
            assert_eq!(run.clock.trusted_us(), run.now_us);
        }
    }

    #[test]
    fn a_jump_while_it_runs_is_not_trusted_and_its_end_changes_nothing() {
        let mut run = Run::begin(RIGHT);
        assert_eq!(run.run(WEEK), 0);
        run.now_us += 8 * DAY;
        assert_eq!(run.run(DAY), 8 * DAY);
        assert_eq!(run.clock.trusted_us(), RIGHT + WEEK + DAY);
        run.now_us -= 8 * DAY;
        run.run(TICK);
        assert_eq!((run.clock.trusted_us(), run.now_us), (RIGHT + WEEK + DAY + TICK, RIGHT + WEEK + DAY + TICK));
    }

    #[test]
    fn a_clock_that_keeps_jumping_is_never_confirmed() {
        let mut run = Run::begin(RIGHT);
        for _ in 0..1_000 {
            run.now_us += HOUR;
            run.run(TICK);
        }
        assert_eq!(run.clock.trusted_us(), RIGHT + 1_000 * TICK);
        // Two starts in a row with the clock ahead, each for a moment.
        for _ in 0..2 {
            let mut again = TrustedTime::begin(run.clock.trusted_us());
            again.advance(run.now_us + 8 * DAY, 0, 0);
            assert_eq!(again.trusted_us(), run.clock.trusted_us());
        }
    }

    #[test]
    fn a_clock_that_is_behind_forgets_nothing_early() {
        let mut run = Run::begin(RIGHT - DAY);
        assert_eq!(run.run(HOUR), 0);
        let created_us = run.clock.creation_time_us(run.now_us + SECOND, SECOND, WEEK);
        assert_eq!(created_us, RIGHT + HOUR + SECOND, "as if the clock were right");
        // A new database that was made ten years ahead must not keep its keys for ten years.
        let ahead = TrustedTime::begin(RIGHT + 3_653 * DAY);
        assert_eq!(ahead.creation_time_us(RIGHT, 0, WEEK), RIGHT + WEEK);
        // While all is right, a key is as old as its claim.
        assert_eq!(TrustedTime::begin(RIGHT).creation_time_us(RIGHT + SECOND, SECOND, WEEK), RIGHT + SECOND);
        assert_eq!(TrustedTime::begin(RIGHT).creation_time_us(RIGHT + HOUR, SECOND, WEEK), RIGHT + HOUR);
    }

    #[test]
    fn what_another_instance_has_confirmed_counts_and_running_side_by_side_does_not_count_twice() {
        let mut one = TrustedTime::begin(RIGHT);
        let mut other = TrustedTime::begin(RIGHT);
        for step in 1..=12 {
            let now_us = RIGHT + 8 * DAY + step * TICK;
            one.advance(now_us, TICK, other.trusted_us());
            other.advance(now_us, TICK, one.trusted_us());
        }
        assert_eq!((one.trusted_us(), other.trusted_us()), (RIGHT + 12 * TICK, RIGHT + 12 * TICK));
        one.advance(RIGHT, TICK, RIGHT + DAY);
        assert_eq!(one.trusted_us(), RIGHT + DAY);
    }
}
