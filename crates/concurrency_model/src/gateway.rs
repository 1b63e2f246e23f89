//! A gateway in virtual time: so many calls at once, each taking its time, the excess queueing up to a bound.
//!
//! A call that its caller gave up is worked on all the same, as in most servers: that is why too many calls at once can
//! leave a gateway busy with nothing that anybody waits for.

use std::collections::VecDeque;

/// What the gateway is like from a moment on.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// From when on, in microseconds.
    pub from_us: i64,
    /// Calls it works on at once; 0: it is down, and refuses connections.
    pub workers: usize,
    /// How long it works on one, in microseconds, on average.
    pub call_us: i64,
}

impl Phase {
    /// What it can take, in calls a second.
    pub fn capacity(&self) -> f64 {
        self.workers as f64 * 1_000_000.0 / self.call_us as f64
    }
}

/// A gateway whose capacity changes.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// What it is like, in order; the first from 0.
    pub phases: Vec<Phase>,
    /// Calls that may wait to be worked on; one more is refused at once.
    pub max_queued: usize,
    /// How much calls differ: each takes between `1 - spread` and `1 + spread` of the average.
    pub spread: f64,
    /// Of the calls it works on, which share fails for itself, whatever else it has to do.
    pub failing: f64,
}

/// What becomes of a call that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is worked on at once.
    Begun,
    /// It waits.
    Queued,
    /// It is refused: too much to do.
    Refused,
    /// Nobody is there.
    Unreachable,
}

/// The state of a gateway at a moment.
#[derive(Debug)]
pub struct Serving {
    gateway: Gateway,
    phase: Phase,
    working: usize,
    queue: VecDeque<u64>,
}

impl Serving {
    /// A gateway with nothing to do.
    pub fn new(gateway: Gateway) -> Self {
        let phase = gateway.phases[0];
        Self { gateway, phase, working: 0, queue: VecDeque::new() }
    }

    /// A phase begins. One in which it is down forgets what waited.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        if phase.workers == 0 {
            self.queue.clear();
        }
    }

    /// A call arrives.
    pub fn arrive(&mut self, call: u64) -> Arrival {
        if self.phase.workers == 0 {
            Arrival::Unreachable
        } else if self.working < self.phase.workers {
            self.working += 1;
            Arrival::Begun
        } else if self.queue.len() < self.gateway.max_queued {
            self.queue.push_back(call);
            Arrival::Queued
        } else {
            Arrival::Refused
        }
    }

    /// The work on a call is done.
    pub fn done(&mut self) {
        self.working -= 1;
    }

    /// The next call that can be worked on, if there is one.
    pub fn take_up(&mut self) -> Option<u64> {
        if self.working >= self.phase.workers {
            return None;
        }
        let call = self.queue.pop_front()?;
        self.working += 1;
        Some(call)
    }

    /// Whether a call that was worked on fails.
    pub fn fails(&self, chance: &mut fastrand::Rng) -> bool {
        self.gateway.failing > 0.0 && chance.f64() < self.gateway.failing
    }

    /// How long the work on a call takes, in microseconds.
    pub fn work_us(&self, chance: &mut fastrand::Rng) -> i64 {
        let factor = 1.0 + self.gateway.spread * (2.0 * chance.f64() - 1.0);
        (self.phase.call_us as f64 * factor) as i64
    }
}
