//! A discrete-event simulation in virtual time. The caller has endless work or a fixed rate of it, and the controller or a fixed
//! number limits its concurrent calls.

use crate::gateway::{Arrival, Gateway, Phase, Serving};
use crate::report::{SAMPLE_US, Sample, Span};
use payments::domain::concurrency::{Controller, Decision, Ended, Limits, Load, Sign};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The interval of the controller's ticks, in microseconds.
const TICK_US: i64 = 200_000;
/// The network latency of a request or an answer, in microseconds.
const NETWORK_US: i64 = 1_000;

/// The number of waiting calls under endless work.
const ALWAYS_WAITING: usize = 1_000;

/// What limits the number of concurrent calls.
#[derive(Debug, Clone, Copy)]
pub enum CallLimit {
    /// A fixed limit.
    Fixed(usize),
    /// The controller of `payments`.
    Adaptive(Limits),
}

/// The work of the caller.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// There is always more work.
    Endless,
    /// Calls a second, at random times (a Poisson process).
    PerSecond(f64),
}

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The gateway.
    pub gateway: Gateway,
    /// What limits the number of concurrent calls.
    pub limit: CallLimit,
    /// The work.
    pub work: Work,
    /// The timeout of a call, in microseconds.
    pub time_out_us: i64,
    /// The length of the run, in microseconds.
    pub until_us: i64,
    /// The seed of all random numbers.
    pub seed: u64,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The samples, in order.
    pub samples: Vec<Sample>,
    /// The last decisions of the controller.
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Phase(usize),
    Demand,
    Arrive(u64),
    WorkDone(u64),
    CallEnd(u64, CallEnd),
    Rested,
    Tick,
    Sample,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CallEnd {
    Answer,
    Refusal,
    Failure,
    GivenUp,
}

impl Scenario {
    /// The spans of the run, one for each phase of the gateway.
    pub fn spans(&self) -> Vec<Span> {
        let phases = &self.gateway.phases;
        let ends = phases.iter().skip(1).map(|next| next.from_us).chain([self.until_us]);
        let span = |(phase, until_us): (&Phase, i64)| Span {
            from_us: phase.from_us,
            until_us,
            capacity: phase.capacity(),
            call_us: phase.call_us,
        };
        phases.iter().zip(ends).map(span).collect()
    }
}

struct Simulation {
    scenario: Scenario,
    chance: fastrand::Rng,
    now_us: i64,
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    sequence: u64,
    serving: Serving,
    controller: Option<Controller>,
    waiting: usize,
    /// The start time of each call in progress.
    under_way: HashMap<u64, i64>,
    calls: u64,
    sample: Sample,
    samples: Vec<Sample>,
}

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> Run {
    let controller = match scenario.limit {
        CallLimit::Fixed(_) => None,
        CallLimit::Adaptive(limits) => Some(Controller::new(limits, 0)),
    };
    let mut simulation = Simulation {
        scenario: scenario.clone(),
        chance: fastrand::Rng::with_seed(scenario.seed),
        now_us: 0,
        events: BinaryHeap::new(),
        sequence: 0,
        serving: Serving::new(scenario.gateway.clone()),
        controller,
        waiting: 0,
        under_way: HashMap::new(),
        calls: 0,
        sample: Sample::default(),
        samples: Vec::new(),
    };
    for (index, phase) in scenario.gateway.phases.iter().enumerate() {
        simulation.at(phase.from_us, Event::Phase(index));
    }
    simulation.at(0, Event::Demand);
    simulation.at(TICK_US, Event::Tick);
    simulation.at(SAMPLE_US, Event::Sample);
    simulation.run();
    let decisions = simulation.controller.iter().flat_map(|controller| controller.decisions().copied()).collect();
    Run { samples: simulation.samples, decisions }
}

impl Simulation {
    fn at(&mut self, at_us: i64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at_us, self.sequence, event)));
    }

    fn after(&mut self, pause_us: i64, event: Event) {
        self.at(self.now_us + pause_us, event);
    }

    fn run(&mut self) {
        while let Some(Reverse((at_us, _, event))) = self.events.pop() {
            if at_us > self.scenario.until_us {
                return;
            }
            self.now_us = at_us;
            self.happen(event);
            self.make_calls();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Phase(index) => {
                self.serving.enter(self.scenario.gateway.phases[index]);
                self.work_on();
            }
            Event::Demand => {
                if let Work::PerSecond(rate) = self.scenario.work {
                    self.waiting += 1;
                    let pause_us = (-(1.0 - self.chance.f64()).ln() / rate * 1_000_000.0) as i64;
                    self.after(pause_us, Event::Demand);
                }
            }
            Event::Arrive(call) => match self.serving.arrive(call) {
                Arrival::Begun => self.begin_work(call),
                Arrival::Queued => {}
                Arrival::Refused => self.after(NETWORK_US, Event::CallEnd(call, CallEnd::Refusal)),
                Arrival::Unreachable => self.after(NETWORK_US, Event::CallEnd(call, CallEnd::Failure)),
            },
            Event::WorkDone(call) => {
                self.serving.done();
                let end = if self.serving.fails(&mut self.chance) { CallEnd::Failure } else { CallEnd::Answer };
                self.after(NETWORK_US, Event::CallEnd(call, end));
                self.work_on();
            }
            Event::CallEnd(call, end) => self.end_call(call, end),
            Event::Rested => {}
            Event::Tick => {
                let load = self.load();
                if let Some(controller) = &mut self.controller {
                    controller.tick(self.now_us, load);
                }
                self.after(TICK_US, Event::Tick);
            }
            Event::Sample => {
                self.sample.limit = self.limit();
                let next = Sample { at_us: self.now_us, ..Sample::default() };
                self.samples.push(std::mem::replace(&mut self.sample, next));
                self.after(SAMPLE_US, Event::Sample);
            }
        }
    }

    fn work_on(&mut self) {
        while let Some(call) = self.serving.take_up() {
            self.begin_work(call);
        }
    }

    fn begin_work(&mut self, call: u64) {
        let work_us = self.serving.work_us(&mut self.chance);
        self.after(work_us, Event::WorkDone(call));
    }

    fn end_call(&mut self, call: u64, end: CallEnd) {
        let load = self.load();
        // Ignores an answer after the timeout, and a timeout after the answer.
        let Some(began_us) = self.under_way.remove(&call) else { return };
        let sign = match end {
            CallEnd::Answer => Sign::Answered,
            CallEnd::Refusal => Sign::Busy,
            CallEnd::Failure => Sign::Failed,
            CallEnd::GivenUp => Sign::TimedOut,
        };
        match sign {
            Sign::Answered => {
                self.sample.answered += 1;
                self.sample.latency_us += self.now_us - began_us;
            }
            Sign::TimedOut => self.sample.timed_out += 1,
            _ => self.sample.refused += 1,
        }
        if sign != Sign::Answered {
            // The caller retries it as new work.
            self.waiting += 1;
        }
        if let Some(controller) = &mut self.controller {
            controller.ended(Ended { began_us, now_us: self.now_us, sign, tries: 0, load });
            let rest_us = controller.pause_left_us(self.now_us);
            if rest_us > 0 {
                self.after(rest_us, Event::Rested);
            }
        }
    }

    fn make_calls(&mut self) {
        if self.controller.as_ref().is_some_and(|controller| controller.pause_left_us(self.now_us) > 0) {
            return;
        }
        while self.under_way.len() < self.limit() && self.load().waiting > 0 {
            self.waiting = self.waiting.saturating_sub(1);
            self.calls += 1;
            self.sample.made += 1;
            let call = self.calls;
            self.under_way.insert(call, self.now_us);
            self.after(NETWORK_US, Event::Arrive(call));
            self.after(self.scenario.time_out_us, Event::CallEnd(call, CallEnd::GivenUp));
        }
    }

    fn limit(&self) -> usize {
        match (&self.controller, self.scenario.limit) {
            (Some(controller), _) => controller.limit(),
            (None, CallLimit::Fixed(limit)) => limit,
            (None, CallLimit::Adaptive(limits)) => limits.start,
        }
    }

    fn load(&self) -> Load {
        let waiting = match self.scenario.work {
            Work::Endless => ALWAYS_WAITING,
            Work::PerSecond(_) => self.waiting,
        };
        Load { in_use: self.under_way.len(), waiting }
    }
}
