//! How many calls a second the gateway can take, which may change over time, and what becomes of the excess.
//!
//! Calls begin one after the other at the pace of the moment, and each takes its time; what comes faster queues up to a
//! bound, and what does not fit is refused. By Little's law `pace × time of a call` calls are then in work. Time and chance
//! are given from outside, so that the same calls with the same seed fare the same.

/// The pace over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    from_s: f64,
    /// Calls a second from then on.
    pace: f64,
}

/// What the gateway can take.
#[derive(Debug, Clone)]
pub struct Throughput {
    schedule: Schedule,
    call_us: u64,
    /// Each call takes so much less or more than the average, at most; 0 to 1.
    spread: f64,
    max_queued: f64,
    chance: fastrand::Rng,
    /// How many calls will have begun before the next one can: on the scale of [`Schedule::begun`].
    next: f64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is done after so many microseconds, waiting included.
    DoneAfterUs(u64),
    /// It is refused, and may come again after so many seconds.
    Refused {
        /// At least 1.
        retry_after_s: u64,
    },
}

impl Schedule {
    /// Reads `200@0s,20@30s,200@60s`: 200 calls a second from the start, 20 after 30 seconds, 200 again after 60. The first
    /// is at 0, times rise, and a pace is 1 to 100000. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps: Vec<Step> = Vec::new();
        for step in text.split(',') {
            let (pace, from) = step.trim().split_once('@')?;
            let pace: u32 = pace.parse().ok().filter(|pace| (1..=100_000).contains(pace))?;
            let from_s: u32 = from.strip_suffix('s')?.parse().ok()?;
            let follows = steps.last().map_or(from_s == 0, |last| last.from_s < f64::from(from_s));
            if !follows {
                return None;
            }
            steps.push(Step { from_s: f64::from(from_s), pace: f64::from(pace) });
        }
        Some(Self(steps))
    }

    /// How many calls can have begun until then.
    fn begun(&self, at_s: f64) -> f64 {
        let ends = self.0.iter().skip(1).map(|step| step.from_s).chain([f64::INFINITY]);
        self.0.iter().zip(ends).map(|(step, end_s)| (at_s.min(end_s) - step.from_s).max(0.0) * step.pace).sum()
    }

    /// When so many calls can have begun.
    fn when(&self, begun: f64) -> f64 {
        let step = self.0.iter().rev().find(|step| self.begun(step.from_s) <= begun).unwrap_or(&self.0[0]);
        step.from_s + (begun - self.begun(step.from_s)).max(0.0) / step.pace
    }
}

impl Throughput {
    /// A gateway with nothing to do whose calls take `call_us` microseconds on average.
    pub fn new(schedule: Schedule, call_us: u64, spread: f64, max_queued: u32, seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        Self { schedule, call_us, spread, max_queued: f64::from(max_queued), chance, next: 0.0 }
    }

    /// A call comes, so many seconds after the gateway was started.
    pub fn admit(&mut self, now_s: f64) -> Admission {
        let begun = self.schedule.begun(now_s);
        let place = self.next.max(begun);
        if place - begun > self.max_queued {
            let room_after_s = self.schedule.when(place - self.max_queued) - now_s;
            return Admission::Refused { retry_after_s: (room_after_s.ceil() as u64).max(1) };
        }
        self.next = place + 1.0;
        let wait_s = self.schedule.when(place) - now_s;
        let factor = 1.0 + self.spread * (2.0 * self.chance.f64() - 1.0);
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
    fn schedules_are_read_and_nonsense_is_not() {
        assert!(Schedule::parse("200@0s").is_some());
        assert!(Schedule::parse("200@0s, 20@30s,200@60s").is_some());
        for wrong in
            ["", "200", "200@0", "200@1s", "0@0s", "100001@0s", "-1@0s", "1@0s,2@5s,3@5s", "1@0s,2@5s,3@4s", "1@0s,"]
        {
            assert_eq!(Schedule::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn calls_begin_at_the_pace_and_a_pause_is_not_made_up_for() {
        let mut throughput = throughput("10@0s", 100);
        let together: Vec<_> = (0..3).map(|_| throughput.admit(5.0)).collect();
        assert_eq!(together, [50_000, 150_000, 250_000].map(Admission::DoneAfterUs));
        assert_eq!(throughput.admit(7.0), Admission::DoneAfterUs(50_000));
    }

    #[test]
    fn what_waits_is_taken_up_at_the_pace_of_the_moment() {
        let mut throughput = throughput("10@0s,100@1s", 100);
        for _ in 0..10 {
            throughput.admit(0.0);
        }
        // Ten have begun after one second, and the eleventh does when the pace is a hundred.
        assert_eq!(throughput.admit(0.0), Admission::DoneAfterUs(1_050_000));
        assert_eq!(throughput.admit(0.0), Admission::DoneAfterUs(1_060_000));
    }

    #[test]
    fn what_does_not_fit_is_refused_until_there_is_room() {
        let mut throughput = throughput("1@0s", 4);
        let admitted = (0..10).filter(|_| matches!(throughput.admit(0.0), Admission::DoneAfterUs(_))).count();
        assert_eq!(admitted, 5, "one begins and four wait");
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
