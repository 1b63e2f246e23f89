//! How many gateway calls may be under way at once: a controller that follows what the gateway can take.
//!
//! What a gateway can take is not known, and it changes; but calls show it, by how long they take and how they end. The
//! controller gets each call that ends and moves one number, the limit, between a floor and a ceiling. It has no
//! clock, no threads and no chance in it: the same calls give the same limits.
//!
//! What it does is the classic *additive increase, multiplicative decrease* (Chiu and Jain, 1989), which settles near what
//! is there without knowing it. The rest is taken from where it fits:
//!
//! - **Rising latency is a queue.** As in TCP Vegas (Brakmo, O'Malley and Peterson, 1994), a baseline is kept, the latency
//!   with nothing queueing, and by Little's law `in use × (1 − baseline ÷ latency)` calls wait inside the gateway. Losses
//!   alone would show it late: a call times out after seconds, and the gateway works on it all the same.
//! - **That decrease is by the factor baseline ÷ latency, and the increase is the square root of the limit**: both are the
//!   gradient of Netflix's concurrency-limits. The decrease goes a little further, so that the queue drains and the next
//!   calls show the baseline again; otherwise one that was taken while calls queued would hold itself up.
//! - **The baseline is the lowest mean latency of the last [`BASELINE_WINDOWS`] windows.** One of calls that take longer than
//!   all calls under way would take one after the other cannot come from them: the gateway became slower by itself, and
//!   a new baseline begins. Means of few calls are off by chance, and count as different only beyond that.
//! - **A loss cuts once.** Calls that began before the last decrease were made under the larger limit, and what becomes of
//!   them is no reason for another one (as in TCP's fast recovery, RFC 5681). Near where a call was last lost it grows by one.
//! - **A call that fails is lost only where many fail.** A refusal or a time-out means that there was too much to do; a server's
//!   error or a broken connection may be that call's own, and some of them happen at every limit. Cutting for each would hold
//!   the limit at a few calls (as loss that is not congestion does to TCP: Padhye et al., 1998). And what failed or was
//!   refused before, and is again while most others are answered, is so for itself.
//! - **At the floor, a call that is lost is followed by a pause**, which doubles with each lost one up to a bound and ends with
//!   the first that is answered (the exponential backoff of RFC 6298, and the open state of what is called a circuit breaker): the
//!   limit bounds how many calls are made at once, and not how many a second, where a gateway refuses them at once.
//! - **A limit that was not needed proves nothing** (RFC 7661): it does not grow while no call waits for a permit, and it
//!   shrinks back towards the start while less than half of it is used.
//!
//! It decides *how many* calls are made at once and when none is, and nothing else: which call is made, under what key, and
//! how long a saga waits after a `Retry-After`, is decided without it.

mod failing;
mod latency;
mod pause;
mod terms;

use failing::Failing;
use latency::{Latencies, Window, as_real};
use pause::Pause;
use std::collections::VecDeque;

pub use latency::BASELINE_WINDOWS;
pub use terms::{Decision, Ended, Limits, Load, Reason, Sign};

/// The fewest calls a decision is taken on.
const MIN_WINDOW_CALLS: usize = 20;
/// How many times the baseline the latency may be, as in Netflix's `Gradient2Limit`.
const LATENCY_TOLERANCE: f64 = 1.5;
/// A shorter baseline counts as this one, in microseconds. Where calls take a few milliseconds, a busy machine and commits in
/// groups take as long again, and a queue of so little costs nothing (as with the target delay of CoDel, RFC 8289).
const SHORTEST_BASELINE_US: f64 = 25_000.0;
/// How many calls may queue in the gateway whatever the latency says: the upper of the two bounds of TCP Vegas.
const QUEUE_TOLERANCE: f64 = 3.0;
/// The factor of a decrease after a time-out, or where many calls fail.
const LOSS_FACTOR: f64 = 0.5;
/// The factor of a decrease after a refusal, as Netflix's `AIMDLimit`: milder, for a refusal costs little and comes early.
const BUSY_FACTOR: f64 = 0.9;
/// The smallest factor of a decrease for rising latency.
const MIN_LATENCY_FACTOR: f64 = 0.25;
/// How much less than the computed limit is allowed after a cut for latency, so that the queue at the gateway drains.
const DRAIN: f64 = 0.9;
/// How many decisions are kept to be shown.
const KEPT_DECISIONS: usize = 50;

/// The controller. Its times are microseconds of any clock that does not run backwards.
#[derive(Debug, Clone)]
pub struct Controller {
    limits: Limits,
    limit: usize,
    /// Calls that began before this show nothing of the limit as it is now.
    cut_us: i64,
    /// The limit at which a call was last lost.
    lost_at: usize,
    window: Window,
    latencies: Latencies,
    failing: Failing,
    idle: Idle,
    pause: Pause,
    decisions: VecDeque<Decision>,
}

/// How much of the limit was used lately.
#[derive(Debug, Clone, Copy)]
struct Idle {
    since_us: i64,
    most_in_use: usize,
}

impl Controller {
    /// A controller that begins now, at the limits' start.
    pub fn new(limits: Limits, now_us: i64) -> Self {
        Self {
            limits,
            limit: limits.start.min(limits.ceiling).max(limits.floor).max(1),
            cut_us: now_us,
            lost_at: 0,
            window: Window::since(now_us),
            latencies: Latencies::default(),
            failing: Failing::default(),
            idle: Idle { since_us: now_us, most_in_use: 0 },
            pause: Pause::up_to(limits.longest_pause_us),
            decisions: VecDeque::new(),
        }
    }

    /// How many calls may be under way; at least 1.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Between what the limit moves.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// For how long no call is to be made, because the last ones were lost at the floor, in microseconds; 0 where one may be.
    pub fn pause_left_us(&self, now_us: i64) -> i64 {
        self.pause.left_us(now_us)
    }

    /// The last decisions, the latest last.
    pub fn decisions(&self) -> impl DoubleEndedIterator<Item = &Decision> {
        self.decisions.iter()
    }

    /// The latency with nothing queueing, as far as it is known, in microseconds.
    pub fn baseline_us(&self) -> Option<i64> {
        self.latencies.baseline().map(|baseline| baseline.whole_us())
    }

    /// Takes note that a call ended. Returns the decision it brought about.
    pub fn ended(&mut self, call: Ended) -> Option<Decision> {
        self.idle.most_in_use = self.idle.most_in_use.max(call.load.in_use);
        match call.sign {
            Sign::Answered => {
                self.failing.note(false);
                self.answered(call)
            }
            Sign::TimedOut => self.lost(call, LOSS_FACTOR, Reason::TimedOut),
            Sign::Failed | Sign::Busy => {
                self.failing.note(true);
                match call.sign {
                    _ if call.tries > 0 && !self.failing.are_most() => None,
                    Sign::Busy => self.lost(call, BUSY_FACTOR, Reason::Busy),
                    _ if self.failing.are_many() => self.lost(call, LOSS_FACTOR, Reason::Failed),
                    _ => None,
                }
            }
            Sign::Unclear => None,
        }
    }

    /// Takes note of the time. To be called now and then; how often does not matter.
    pub fn tick(&mut self, now_us: i64, load: Load) -> Option<Decision> {
        self.idle.most_in_use = self.idle.most_in_use.max(load.in_use);
        if now_us - self.idle.since_us < self.limits.idle_us {
            return None;
        }
        let Idle { most_in_use, .. } = std::mem::replace(&mut self.idle, Idle { since_us: now_us, most_in_use: 0 });
        let half = (self.limit / 2).max(self.limits.start.min(self.limit));
        if most_in_use * 2 < self.limit { self.change(now_us, half, Reason::Idle) } else { None }
    }

    fn answered(&mut self, call: Ended) -> Option<Decision> {
        self.pause.answered();
        if call.now_us < self.window.began_us {
            return None;
        }
        self.window.add(call);
        if self.window.calls < MIN_WINDOW_CALLS {
            return None;
        }
        let window = self.window;
        let latency = window.latency();
        let baseline = self.latencies.baseline().map(|baseline| baseline.at_least(SHORTEST_BASELINE_US));
        let queue = baseline.map_or(0.0, |baseline| window.mean_in_use() * (1.0 - baseline.mean_us / latency.mean_us));
        let queues =
            queue > QUEUE_TOLERANCE && baseline.is_some_and(|baseline| latency.exceeds(&baseline, LATENCY_TOLERANCE));
        // In a queue of our own calls, one takes as long as all of them one after the other, and no longer.
        let not_ours = baseline
            .is_some_and(|baseline| latency.exceeds(&baseline, LATENCY_TOLERANCE * window.mean_in_use().max(1.0)));
        if queues && !not_ours && self.limit > self.limits.floor {
            let factor = (DRAIN * (1.0 - queue / window.mean_in_use())).max(MIN_LATENCY_FACTOR);
            self.latencies.note(latency);
            let to = window.mean_in_use().min(as_real(self.limit)) * factor;
            let decision = self.cut(call.now_us, to, Reason::Latency);
            // What queued in the gateway is through by then, at whatever length it had while the mean was taken.
            self.window.began_us += 2 * latency.whole_us();
            return decision;
        }
        if window.calls < self.limit {
            return None;
        }
        if not_ours {
            self.latencies.forget();
        }
        self.latencies.note(latency);
        self.window = Window::since(call.now_us);
        let may_grow = window.work_waited && (not_ours || !queues);
        if may_grow { self.change(call.now_us, self.limit + self.increase(), Reason::Demand) } else { None }
    }

    /// By how much it grows: by one near where a call was last lost, so as not to be far beyond when that happens again.
    fn increase(&self) -> usize {
        let root = self.limit.isqrt();
        if (self.limit..=self.limit + root).contains(&self.lost_at) { 1 } else { root }
    }

    fn lost(&mut self, call: Ended, factor: f64, reason: Reason) -> Option<Decision> {
        if call.began_us < self.cut_us {
            return None;
        }
        self.lost_at = self.limit;
        if self.limit <= self.limits.floor.max(1) {
            self.pause.lost(call.now_us);
        }
        self.cut(call.now_us, as_real(self.limit) * factor, reason)
    }

    /// Makes it smaller, by at least one.
    fn cut(&mut self, now_us: i64, to: f64, reason: Reason) -> Option<Decision> {
        let to = (to as usize).min(self.limit - 1);
        self.cut_us = now_us;
        self.window = Window::since(now_us);
        self.change(now_us, to, reason)
    }

    /// Changes the limit as far as the limits let it, and keeps the decision if there is one.
    fn change(&mut self, now_us: i64, to: usize, reason: Reason) -> Option<Decision> {
        let from = self.limit;
        self.limit = to.min(self.limits.ceiling).max(self.limits.floor).max(1);
        if self.limit == from {
            return None;
        }
        self.window = Window::since(now_us);
        let decision = Decision { at_us: now_us, from, to: self.limit, reason };
        if self.decisions.len() == KEPT_DECISIONS {
            self.decisions.pop_front();
        }
        self.decisions.push_back(decision);
        Some(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { floor: 2, start: 8, ceiling: 64, idle_us: 1_000_000, longest_pause_us: 100_000 };
    const CALL_US: i64 = 50_000;

    /// A controller and the time that passes while calls are made one round after the other.
    struct Rounds {
        controller: Controller,
        now_us: i64,
        tries: u32,
    }

    impl Rounds {
        fn new() -> Self {
            Self { controller: Controller::new(LIMITS, 0), now_us: 0, tries: 0 }
        }

        /// As many calls at once as may be, all ending alike after so long.
        fn round(&mut self, latency_us: i64, sign: Sign, waiting: usize) {
            let (began_us, in_use) = (self.now_us, self.controller.limit());
            self.now_us += latency_us;
            for _ in 0..in_use {
                let load = Load { in_use, waiting };
                self.controller.ended(Ended { began_us, now_us: self.now_us, sign, tries: self.tries, load });
            }
        }

        /// One more call.
        fn call(&mut self, latency_us: i64, sign: Sign) {
            let began_us = self.now_us;
            self.now_us += latency_us;
            let load = Load { in_use: self.controller.limit(), waiting: 1 };
            self.controller.ended(Ended { began_us, now_us: self.now_us, sign, tries: self.tries, load });
        }

        fn rounds(&mut self, rounds: usize, latency_us: i64, sign: Sign, waiting: usize) -> usize {
            for _ in 0..rounds {
                self.round(latency_us, sign, waiting);
            }
            self.controller.limit()
        }

        fn reasons(&self) -> Vec<Reason> {
            self.controller.decisions().map(|decision| decision.reason).collect()
        }
    }

    #[test]
    fn it_grows_while_work_waits_and_up_to_the_ceiling() {
        let mut rounds = Rounds::new();
        assert_eq!(rounds.rounds(100, CALL_US, Sign::Answered, 0), LIMITS.start, "nothing waited");
        let grown = rounds.rounds(10, CALL_US, Sign::Answered, 1);
        assert!((LIMITS.start + 5..LIMITS.ceiling).contains(&grown), "{grown}");
        assert_eq!(rounds.rounds(200, CALL_US, Sign::Answered, 1), LIMITS.ceiling);
        assert!(rounds.reasons().iter().all(|reason| *reason == Reason::Demand));
        assert_eq!(rounds.controller.baseline_us(), Some(CALL_US));
    }

    #[test]
    fn each_kind_of_loss_cuts_down_to_the_floor_and_not_below() {
        for (sign, reason) in
            [(Sign::TimedOut, Reason::TimedOut), (Sign::Failed, Reason::Failed), (Sign::Busy, Reason::Busy)]
        {
            let mut rounds = Rounds::new();
            rounds.round(CALL_US, sign, 1);
            let cut = rounds.controller.limit();
            assert!((LIMITS.floor..LIMITS.start).contains(&cut), "one round is one loss: {cut}");
            assert_eq!(rounds.rounds(1_000, 1_000, sign, 1), LIMITS.floor);
            assert!(rounds.reasons().iter().all(|found| *found == reason), "{:?}", rounds.reasons());
        }
    }

    #[test]
    fn calls_that_began_before_a_cut_do_not_cut_again() {
        let mut controller = Controller::new(LIMITS, 0);
        let lost = |began_us, now_us| Ended { began_us, now_us, sign: Sign::TimedOut, tries: 0, load: Load::default() };
        assert_eq!(controller.ended(lost(0, 100)).map(|decision| decision.to), Some(4));
        assert_eq!(controller.ended(lost(99, 200)), None);
        assert_eq!(controller.ended(lost(100, 300)).map(|decision| decision.to), Some(2));
    }

    #[test]
    fn what_was_refused_before_counts_only_where_most_are() {
        for sign in [Sign::Busy, Sign::Failed] {
            let mut rounds = Rounds::new();
            for _ in 0..50 {
                rounds.tries = 0;
                rounds.round(CALL_US, Sign::Answered, 1);
                rounds.tries = 1;
                rounds.call(CALL_US, sign);
            }
            assert!(rounds.reasons().iter().all(|reason| *reason == Reason::Demand), "{:?}", rounds.reasons());
            assert!(rounds.controller.limit() > LIMITS.start);
            assert_eq!(rounds.rounds(100, CALL_US, sign, 1), LIMITS.floor, "now all of them do");
            assert!(rounds.controller.pause_left_us(rounds.now_us) > 0);
        }
    }

    #[test]
    fn rising_latency_cuts_before_anything_is_lost() {
        let mut rounds = Rounds::new();
        let before = rounds.rounds(20, CALL_US, Sign::Answered, 1);
        let after = rounds.rounds(3, 3 * CALL_US, Sign::Answered, 1);
        assert!(after <= before / 3, "{before} to {after}");
        assert_eq!(rounds.reasons().last(), Some(&Reason::Latency));
    }

    #[test]
    fn calls_of_milliseconds_may_take_several_times_as_long_and_not_for_ever_longer() {
        let mut rounds = Rounds::new();
        rounds.rounds(3, 2_000, Sign::Answered, 1);
        assert_eq!(rounds.rounds(100, 20_000, Sign::Answered, 1), LIMITS.ceiling);
        let after = rounds.rounds(3, 60_000, Sign::Answered, 1);
        assert!(after <= LIMITS.ceiling / 3, "{after}");
        assert_eq!(rounds.reasons().last(), Some(&Reason::Latency));
    }

    #[test]
    fn at_the_floor_rising_latency_neither_cuts_nor_grows() {
        let mut rounds = Rounds { controller: Controller::new(Limits { floor: 8, ..LIMITS }, 0), now_us: 0, tries: 0 };
        rounds.rounds(3, CALL_US, Sign::Answered, 0);
        assert_eq!(rounds.rounds(30, 3 * CALL_US, Sign::Answered, 1), 8);
        assert!(rounds.reasons().is_empty());
    }

    #[test]
    fn a_gateway_that_became_slower_by_itself_is_believed() {
        let mut rounds = Rounds::new();
        rounds.rounds(100, CALL_US, Sign::Answered, 1);
        assert_eq!(rounds.rounds(200, 20 * CALL_US, Sign::Answered, 1), LIMITS.ceiling);
        assert_eq!(rounds.controller.baseline_us(), Some(20 * CALL_US));
    }

    #[test]
    fn what_cannot_be_understood_shows_nothing() {
        let mut rounds = Rounds::new();
        assert_eq!(rounds.rounds(100, CALL_US, Sign::Unclear, 1), LIMITS.start);
        assert!(rounds.reasons().is_empty());
    }

    #[test]
    fn a_dead_gateway_leaves_the_floor_and_one_that_is_back_is_taken_up_step_by_step() {
        let mut rounds = Rounds::new();
        rounds.rounds(100, CALL_US, Sign::Answered, 1);
        assert_eq!(rounds.rounds(1_000, 1_000, Sign::Failed, 1), LIMITS.floor);
        let back = rounds.now_us;
        let mut before = LIMITS.floor;
        while rounds.controller.limit() < LIMITS.ceiling / 2 {
            rounds.round(CALL_US, Sign::Answered, 1);
            let size = rounds.controller.limit();
            assert!(size <= before + before.isqrt(), "{before} to {size}");
            before = size;
        }
        let took_us = rounds.now_us - back;
        assert!(took_us < 5_000_000, "{took_us} µs");
    }

    #[test]
    fn calls_lost_at_the_floor_are_followed_by_pauses_that_double_up_to_a_bound_and_end_with_an_answer() {
        let mut rounds = Rounds::new();
        let mut rests = |sign, lost: usize| -> Vec<i64> {
            (0..lost)
                .map(|_| {
                    rounds.round(10, sign, 1);
                    rounds.controller.pause_left_us(rounds.now_us)
                })
                .collect()
        };
        assert_eq!(rests(Sign::Failed, 4), [0, 0, 1_000, 2_000], "8 and 4 are above the floor");
        assert_eq!(rests(Sign::TimedOut, 2), [4_000, 8_000]);
        assert_eq!(rests(Sign::Busy, 5), [16_000, 32_000, 64_000, 100_000, 100_000]);
        assert_eq!(rests(Sign::Unclear, 1), [99_990], "it shows nothing");
        assert_eq!(rests(Sign::Answered, 1), [0]);
        assert_eq!(rests(Sign::Failed, 2), [1_000, 2_000]);
    }

    #[test]
    fn a_limit_that_is_not_used_goes_back_to_the_start_and_no_further() {
        let mut rounds = Rounds::new();
        assert_eq!(rounds.rounds(200, CALL_US, Sign::Answered, 1), LIMITS.ceiling);
        let mut sizes = Vec::new();
        for _ in 0..6 {
            rounds.now_us += LIMITS.idle_us;
            rounds.controller.tick(rounds.now_us, Load { in_use: 3, waiting: 0 });
            sizes.push(rounds.controller.limit());
        }
        assert_eq!(sizes, [64, 32, 16, 8, 8, 8], "in the first period all of it was used");
        assert_eq!(rounds.reasons().last(), Some(&Reason::Idle));

        assert_eq!(rounds.rounds(1_000, 1_000, Sign::Failed, 1), LIMITS.floor);
        rounds.controller.tick(rounds.now_us + 10 * LIMITS.idle_us, Load::default());
        assert_eq!(rounds.controller.limit(), LIMITS.floor, "idleness makes nothing larger");
    }

    #[test]
    fn a_limit_that_is_used_is_kept() {
        let mut rounds = Rounds::new();
        let grown = rounds.rounds(200, CALL_US, Sign::Answered, 1);
        for _ in 0..10 {
            rounds.now_us += LIMITS.idle_us;
            rounds.controller.tick(rounds.now_us, Load { in_use: grown / 2, waiting: 0 });
        }
        assert_eq!(rounds.controller.limit(), grown);
    }

    #[test]
    fn it_is_never_zero_and_keeps_so_many_decisions() {
        let mut controller =
            Controller::new(Limits { floor: 0, start: 0, ceiling: 3, idle_us: 1, longest_pause_us: 0 }, 0);
        for now_us in 1..10_000 {
            let sign = if now_us % 50 < 30 { Sign::Answered } else { Sign::TimedOut };
            let load = Load { in_use: controller.limit(), waiting: 1 };
            controller.ended(Ended { began_us: now_us - 1, now_us, sign, tries: 0, load });
            assert!((1..=3).contains(&controller.limit()));
        }
        assert_eq!(controller.decisions().count(), KEPT_DECISIONS);
        assert!(controller.decisions().all(|decision| decision.from != decision.to));
    }
}
