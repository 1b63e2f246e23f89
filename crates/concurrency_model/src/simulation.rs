//! A discrete-event simulation in virtual time: callers with more work than the gateway can take, or with so much a
//! second, who make as many calls at once as the controller, or a fixed number, lets them.

use crate::gateway::{Arrival, Gateway, Phase, Serving};
use crate::report::{SAMPLE_US, Sample, Span};
use payments::domain::concurrency::{Controller, Decision, Ended, Limits, Load, Sign};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// How often the controller is told of the time, in microseconds.
const TICK_US: i64 = 200_000;
/// How long a request or an answer is on its way, in microseconds.
const NETWORK_US: i64 = 1_000;

/// How many calls wait where there is always more work.
const ALWAYS_WAITING: usize = 1_000;

/// How many calls are made at once.
#[derive(Debug, Clone, Copy)]
pub enum Sizing {
    /// Always so many.
    Fixed(usize),
    /// As the controller says.
    Adaptive(Limits),
}

/// What is to be called for.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// There is always more.
    Endless,
    /// So many calls a second, at random times (a Poisson process).
    PerSecond(f64),
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The gateway.
    pub gateway: Gateway,
    /// How many calls are made at once.
    pub sizing: Sizing,
    /// The work.
    pub work: Work,
    /// How long a call may take, in microseconds.
    pub time_out_us: i64,
    /// How long the run is, in microseconds.
    pub until_us: i64,
    /// The seed of all chance.
    pub seed: u64,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Sample by sample.
    pub samples: Vec<Sample>,
    /// What the controller last decided.
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Phase(usize),
    Demand,
    Arrive(u64),
    WorkDone(u64),
    ReturnOutcome(u64, ReturnOutcome),
    Rested,
    Tick,
    Sample,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ReturnOutcome {
    Answer,
    Refusal,
    Failure,
    GivenUp,
}

impl Scenario {
    /// The phases of the gateway, each with its end.
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
    /// When each call under way began.
    under_way: HashMap<u64, i64>,
    calls: u64,
    sample: Sample,
    samples: Vec<Sample>,
}

/// Makes a run.
pub fn run(scenario: &Scenario) -> Run {
    let controller = match scenario.sizing {
        Sizing::Fixed(_) => None,
        Sizing::Adaptive(limits) => Some(Controller::new(limits, 0)),
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
                Arrival::Refused => self.after(NETWORK_US, Event::ReturnOutcome(call, ReturnOutcome::Refusal)),
                Arrival::Unreachable => self.after(NETWORK_US, Event::ReturnOutcome(call, ReturnOutcome::Failure)),
            },
            Event::WorkDone(call) => {
                self.serving.done();
                let told =
                    if self.serving.fails(&mut self.chance) { ReturnOutcome::Failure } else { ReturnOutcome::Answer };
                self.after(NETWORK_US, Event::ReturnOutcome(call, told));
                self.work_on();
            }
            Event::ReturnOutcome(call, told) => self.told(call, told),
            Event::Rested => {}
            Event::Tick => {
                let load = self.load();
                if let Some(controller) = &mut self.controller {
                    controller.tick(self.now_us, load);
                }
                self.after(TICK_US, Event::Tick);
            }
            Event::Sample => {
                self.sample.size = self.size();
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

    fn told(&mut self, call: u64, told: ReturnOutcome) {
        let load = self.load();
        // An answer to a call that was given up, or the end of the time for one that was answered, is nothing any more.
        let Some(began_us) = self.under_way.remove(&call) else { return };
        let sign = match told {
            ReturnOutcome::Answer => Sign::Answered,
            ReturnOutcome::Refusal => Sign::Busy,
            ReturnOutcome::Failure => Sign::Failed,
            ReturnOutcome::GivenUp => Sign::TimedOut,
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
            // It comes back as new work.
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
        while self.under_way.len() < self.size() && self.load().waiting > 0 {
            self.waiting = self.waiting.saturating_sub(1);
            self.calls += 1;
            self.sample.made += 1;
            let call = self.calls;
            self.under_way.insert(call, self.now_us);
            self.after(NETWORK_US, Event::Arrive(call));
            self.after(self.scenario.time_out_us, Event::ReturnOutcome(call, ReturnOutcome::GivenUp));
        }
    }

    fn size(&self) -> usize {
        match (&self.controller, self.scenario.sizing) {
            (Some(controller), _) => controller.limit(),
            (None, Sizing::Fixed(size)) => size,
            (None, Sizing::Adaptive(limits)) => limits.start,
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
