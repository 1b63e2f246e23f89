//! The breadth-first search over all reachable worlds, and the check that each can still come to rest.
//!
//! It is written by hand because stateright 0.31 cannot check "can always still reach rest" (AG EF).

use crate::intern::{FastHasher, FastMap};
use crate::params::Params;
use crate::properties;
use crate::steps::{self, Step};
use crate::tables::Tables;
use crate::world::World;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

/// The result of a search.
#[derive(Debug)]
pub struct Report {
    /// The number of reachable worlds.
    pub worlds: usize,
    /// The number of steps between them.
    pub steps: usize,
    /// The number of worlds at rest.
    pub at_rest: usize,
    /// The duration of the search.
    pub took: Duration,
    /// A violated property, with a shortest trace that leads to it.
    pub counterexample: Option<Counterexample>,
    /// Whether every reachable world was checked.
    pub is_complete: bool,
}

/// A trace that violates a property.
#[derive(Debug)]
pub struct Counterexample {
    /// The violated property.
    pub flaw: String,
    /// The steps in order, each with the world after it.
    pub trace: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states, {} steps, {} at rest, {:.2} s{}",
            self.worlds,
            self.steps,
            self.at_rest,
            self.took.as_secs_f64(),
            if self.is_complete { "" } else { ", not complete" }
        )?;
        self.counterexample.iter().try_for_each(|found| write!(f, "\n{found}"))
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after {} steps:", self.flaw, self.trace.len())?;
        self.trace.iter().try_for_each(|step| write!(f, "\n  {step}"))
    }
}

/// The reached worlds, each with its predecessor and the step between them.
#[derive(Default)]
struct Reached {
    worlds: Vec<World>,
    from: Vec<(u32, Option<Step>)>,
    newest_of_hash: FastMap<u64, u32>,
    next_of_hash: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Reached {
    /// The number of a world; a new world gets the next number.
    fn reach(&mut self, world: World, from: u32, step: Option<Step>) -> u32 {
        let mut hasher = FastHasher::default();
        world.hash(&mut hasher);
        let newest = self.newest_of_hash.entry(hasher.finish()).or_insert(NONE);
        let mut number = *newest;
        while number != NONE {
            if self.worlds[number as usize] == world {
                return number;
            }
            number = self.next_of_hash[number as usize];
        }
        let number = u32::try_from(self.worlds.len()).unwrap_or(NONE);
        self.next_of_hash.push(*newest);
        *newest = number;
        self.worlds.push(world);
        self.from.push((from, step));
        number
    }

    fn trace_to(&self, number: u32, tables: &Tables) -> Vec<String> {
        let mut trace = Vec::new();
        let mut at = number;
        while let (from, Some(step)) = self.from[at as usize] {
            trace.push(format!("{}\n      {}", step.describe(tables), sketch(&self.worlds[at as usize], tables)));
            at = from;
        }
        trace.reverse();
        trace
    }
}

/// The world in one line.
fn sketch(world: &World, tables: &Tables) -> String {
    let claim = &world.claim;
    let saga = tables.memory.sagas.get(world.payments.saga).map_or("no saga".to_owned(), |saga| {
        format!(
            "saga {} v{} epoch {} {:?} {:?} outcome {:?} known v{} unwound {}{}{}",
            saga.state().as_str(),
            saga.claim_version,
            saga.resync_epoch,
            saga.reservation,
            saga.disbursement,
            saga.outcome.map(|outcome| (outcome.kind, outcome.version)),
            saga.known_version,
            saga.known_unwound,
            if saga.unsolicited { " unsolicited" } else { "" },
            if world.payments.due { " due" } else { "" },
        )
    });
    format!(
        "claim {} v{} epoch {} outcome {:?}{} | {saga} | book {:?}{} call {:?} strays {:?} marker {}{}",
        claim.status.as_str(),
        claim.version,
        claim.resync_epoch,
        claim.outcome,
        if claim.due { " due" } else { "" },
        world.book,
        if world.webhook { " webhook" } else { "" },
        world.call,
        world.strays,
        world.marker_s,
        if world.restored { " restored" } else { "" },
    )
}

/// Searches all worlds within the bounds of `params`.
pub fn explore(params: &Params) -> Report {
    let started = Instant::now();
    let mut tables = Tables::default();
    let mut reached = Reached::default();
    let mut free_steps: Vec<(u32, u32)> = Vec::new();
    let mut at_rest: Vec<u32> = Vec::new();
    let mut steps = 0;
    let mut counterexample = None;
    let first = World::begin(params, &mut tables);
    reached.reach(first, NONE, None);
    let mut number: u32 = 0;
    while (number as usize) < reached.worlds.len() && counterexample.is_none() {
        if reached.worlds.len() > params.max_states {
            break;
        }
        let world = reached.worlds[number as usize];
        if properties::is_at_rest(&world, &tables) {
            at_rest.push(number);
            if let Some(flaw) = properties::flaw_at_rest(&world, params, &tables) {
                counterexample = Some(Counterexample { flaw, trace: reached.trace_to(number, &tables) });
                break;
            }
        }
        for next in steps::after(&world, params, &mut tables) {
            steps += 1;
            match next.world {
                Ok(next_world) => {
                    let to = reached.reach(next_world, number, Some(next.step));
                    if next.is_free && to != number {
                        free_steps.push((number, to));
                    }
                }
                Err(flaw) => {
                    let mut trace = reached.trace_to(number, &tables);
                    trace.push(next.step.describe(&tables));
                    counterexample = Some(Counterexample { flaw, trace });
                    break;
                }
            }
        }
        number += 1;
    }
    let is_complete = counterexample.is_none() && number as usize == reached.worlds.len();
    if is_complete && let Some(number) = first_without_rest(reached.worlds.len(), &free_steps, &at_rest) {
        let flaw = "from here the claim can never come to rest by itself".to_owned();
        counterexample = Some(Counterexample { flaw, trace: reached.trace_to(number, &tables) });
    }
    Report {
        worlds: reached.worlds.len(),
        steps,
        at_rest: at_rest.len(),
        took: started.elapsed(),
        counterexample,
        is_complete,
    }
}

/// The nearest world from which no free steps lead to a world at rest.
fn first_without_rest(worlds: usize, free_steps: &[(u32, u32)], at_rest: &[u32]) -> Option<u32> {
    // The free steps grouped by target: the sources of world n are `sources[starts[n]..starts[n + 1]]`.
    let mut starts = vec![0_u32; worlds + 1];
    for (_, to) in free_steps {
        starts[*to as usize + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut filled = starts.clone();
    let mut sources = vec![0_u32; free_steps.len()];
    for (from, to) in free_steps {
        let at = &mut filled[*to as usize];
        sources[*at as usize] = *from;
        *at += 1;
    }
    let mut can_rest = vec![false; worlds];
    let mut waiting = at_rest.to_vec();
    for number in at_rest {
        can_rest[*number as usize] = true;
    }
    while let Some(number) = waiting.pop() {
        let range = starts[number as usize] as usize..starts[number as usize + 1] as usize;
        for from in &sources[range] {
            if !std::mem::replace(&mut can_rest[*from as usize], true) {
                waiting.push(*from);
            }
        }
    }
    can_rest.iter().position(|can| !can).and_then(|number| u32::try_from(number).ok())
}
