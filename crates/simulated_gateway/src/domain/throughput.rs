//! A limit on calls a second, which may change over time.
//!
//! Calls start one after the other at the current rate, and each has a duration. Calls that arrive faster wait in a bounded
//! queue, and further ones are refused. By Little's law `rate × duration` calls are in progress. The time and the seed are
//! arguments, so that the same calls with the same seed have the same results.

/// The rate over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    from_s: f64,
    /// Calls a second from `from_s` on.
    rate: f64,
}

/// The state of the limit.
#[derive(Debug, Clone)]
pub struct Throughput {
    schedule: Schedule,
    call_us: u64,
    /// The largest deviation of a call's duration from the average, as a fraction of it; 0 to 1.
    spread: f64,
    max_queued: f64,
    rng: fastrand::Rng,
    /// How many calls start before the next one, on the scale of [`Schedule::started`].
    next: f64,
}

/// The result for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It ends after this many microseconds, including the wait.
    DoneAfterUs(u64),
    /// It is refused.
    Refused {
        /// After how many seconds the payer is to send it again; at least 1.
        retry_after_s: u64,
    },
}

impl Schedule {
    /// Parses `200@0s,20@30s,200@60s`: 200 calls a second from the start, 20 after 30 seconds, 200 again after 60. The first
    /// time is 0, times rise, and a rate is 1 to 100000. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps: Vec<Step> = Vec::new();
        for step in text.split(',') {
            let (rate, from) = step.trim().split_once('@')?;
            let rate: u32 = rate.parse().ok().filter(|rate| (1..=100_000).contains(rate))?;
            let from_s: u32 = from.strip_suffix('s')?.parse().ok()?;
            let follows = steps.last().map_or(from_s == 0, |last| last.from_s < f64::from(from_s));
            if !follows {
                return None;
            }
            steps.push(Step { from_s: f64::from(from_s), rate: f64::from(rate) });
        }
        Some(Self(steps))
    }

    /// How many calls can have started by `at_s`.
    fn started(&self, at_s: f64) -> f64 {
        let ends = self.0.iter().skip(1).map(|step| step.from_s).chain([f64::INFINITY]);
        self.0.iter().zip(ends).map(|(step, end_s)| (at_s.min(end_s) - step.from_s).max(0.0) * step.rate).sum()
    }

    /// The time in seconds by which this many calls can have started.
    fn when(&self, started: f64) -> f64 {
        let step = self.0.iter().rev().find(|step| self.started(step.from_s) <= started).unwrap_or(&self.0[0]);
        step.from_s + (started - self.started(step.from_s)).max(0.0) / step.rate
    }
}

impl Throughput {
    /// A limit without calls in progress; a call takes `call_us` microseconds on average.
    pub fn new(schedule: Schedule, call_us: u64, spread: f64, max_queued: u32, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { schedule, call_us, spread, max_queued: f64::from(max_queued), rng, next: 0.0 }
    }

    /// Admits or refuses a call that arrives `now_s` seconds after the start of the gateway.
    pub fn admit(&mut self, now_s: f64) -> Admission {
        let started = self.schedule.started(now_s);
        let position = self.next.max(started);
        if position - started > self.max_queued {
            let room_after_s = self.schedule.when(position - self.max_queued) - now_s;
            return Admission::Refused { retry_after_s: (room_after_s.ceil() as u64).max(1) };
        }
        self.next = position + 1.0;
        let wait_s = self.schedule.when(position) - now_s;
        let factor = 1.0 + self.spread * (2.0 * self.rng.f64() - 1.0);
        let us = wait_s.max(0.0) * 1_000_000.0 + self.call_us as f64 * factor;
        Admission::DoneAfterUs(us.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throughput(schedule: &str, max_queued: u32) -> Throughput {
        Throughput::new(Schedule::parse(schedule).unwrap(), 50_000, 0.0, max_queued, 1)
    }

    #[test]
    fn only_valid_schedules_are_parsed() {
        assert!(Schedule::parse("200@0s").is_some());
        assert!(Schedule::parse("200@0s, 20@30s,200@60s").is_some());
        for wrong in
            ["", "200", "200@0", "200@1s", "0@0s", "100001@0s", "-1@0s", "1@0s,2@5s,3@5s", "1@0s,2@5s,3@4s", "1@0s,"]
        {
            assert_eq!(Schedule::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn calls_start_at_the_rate_and_idle_time_is_not_saved_up() {
        let mut throughput = throughput("10@0s", 100);
        let together: Vec<_> = (0..3).map(|_| throughput.admit(5.0)).collect();
        assert_eq!(together, [50_000, 150_000, 250_000].map(Admission::DoneAfterUs));
        assert_eq!(throughput.admit(7.0), Admission::DoneAfterUs(50_000));
    }

    #[test]
    fn waiting_calls_start_at_the_current_rate() {
        let mut throughput = throughput("10@0s,100@1s", 100);
        for _ in 0..10 {
            throughput.admit(0.0);
        }
        // Ten have started after one second; the eleventh starts at a rate of a hundred.
        assert_eq!(throughput.admit(0.0), Admission::DoneAfterUs(1_050_000));
        assert_eq!(throughput.admit(0.0), Admission::DoneAfterUs(1_060_000));
    }

    #[test]
    fn calls_beyond_the_queue_are_refused_until_there_is_room() {
        let mut throughput = throughput("1@0s", 4);
        let admitted = (0..10).filter(|_| matches!(throughput.admit(0.0), Admission::DoneAfterUs(_))).count();
        assert_eq!(admitted, 5, "one starts and four wait");
        assert_eq!(throughput.admit(0.0), Admission::Refused { retry_after_s: 1 });
        assert!(matches!(throughput.admit(1.0), Admission::DoneAfterUs(_)));
    }

    #[test]
    fn the_same_seed_gives_the_same_times_within_the_spread() {
        let times = |seed| {
            let mut throughput = Throughput::new(Schedule::parse("1000@0s").unwrap(), 50_000, 0.2, 10, seed);
            (0..100).map(|n| throughput.admit(f64::from(n))).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
        let within = |time: &Admission| matches!(time, Admission::DoneAfterUs(us) if (40_000..=60_000).contains(us));
        assert!(times(1).iter().all(within), "{:?}", times(1));
    }
}
