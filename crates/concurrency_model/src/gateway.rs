//! A gateway in virtual time: a number of workers, a processing time for each call, and a bounded queue.
//!
//! It also processes calls whose caller has timed out, as most servers do. That is why too many concurrent calls can keep a
//! gateway busy with calls whose callers no longer wait.

use std::collections::VecDeque;

/// The behaviour of the gateway from a point in time.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// When the phase begins, in microseconds.
    pub from_us: i64,
    /// The number of workers. With 0 the gateway is down and refuses connections.
    pub workers: usize,
    /// The average processing time of a call, in microseconds.
    pub call_us: i64,
}

impl Phase {
    /// The capacity, in calls a second.
    pub fn capacity(&self) -> f64 {
        self.workers as f64 * 1_000_000.0 / self.call_us as f64
    }
}

/// A gateway whose capacity changes.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The phases, in order. The first begins at 0.
    pub phases: Vec<Phase>,
    /// The bound of the queue; a call beyond it is refused at once.
    pub max_queued: usize,
    /// The variation of processing times: each is between `1 - spread` and `1 + spread` of the average.
    pub spread: f64,
    /// The share of processed calls that fail for reasons of their own, independently of the load.
    pub failing: f64,
}

/// What the gateway does with a call that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A worker processes it at once.
    Begun,
    /// It waits in the queue.
    Queued,
    /// It is refused, because the queue is full.
    Refused,
    /// The gateway is down.
    Unreachable,
}

/// The state of a gateway at a point in time.
#[derive(Debug)]
pub struct Serving {
    gateway: Gateway,
    phase: Phase,
    working: usize,
    queue: VecDeque<u64>,
}

impl Serving {
    /// An idle gateway.
    pub fn new(gateway: Gateway) -> Self {
        let phase = gateway.phases[0];
        Self { gateway, phase, working: 0, queue: VecDeque::new() }
    }

    /// Begins a phase. A phase in which the gateway is down drops the queue.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        if phase.workers == 0 {
            self.queue.clear();
        }
    }

    /// Accepts, queues or refuses a call.
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

    /// Ends the processing of a call.
    pub fn done(&mut self) {
        self.working -= 1;
    }

    /// Takes the next call from the queue, if a worker is free.
    pub fn take_up(&mut self) -> Option<u64> {
        if self.working >= self.phase.workers {
            return None;
        }
        let call = self.queue.pop_front()?;
        self.working += 1;
        Some(call)
    }

    /// Whether a processed call fails.
    pub fn fails(&self, chance: &mut fastrand::Rng) -> bool {
        self.gateway.failing > 0.0 && chance.f64() < self.gateway.failing
    }

    /// The processing time of a call, in microseconds.
    pub fn work_us(&self, chance: &mut fastrand::Rng) -> i64 {
        let factor = 1.0 + self.gateway.spread * (2.0 * chance.f64() - 1.0);
        (self.phase.call_us as f64 * factor) as i64
    }
}
