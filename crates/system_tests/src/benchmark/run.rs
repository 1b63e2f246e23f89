//! A run of the benchmark: what it runs, on which servers, and its figures so far.

use super::statistics::{Figures, Results};
use super::system::{On, Servers, System};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Part {
    /// What PostgreSQL itself stores, in claims a second
    Limit,
    /// The same with the product's own tables and indexes
    OwnTables,
    /// Claims one by one, over 1, 8, 64 and 256 connections, without payments
    Single,
    /// Batches of claims as NDJSON and CSV, without payments
    Bulk,
    /// Payments of claims that wait in a full topic
    Payments,
    /// From the submission of a batch to the last outcome, with 1 and 3 payments
    EndToEnd,
    /// One claim on an idle system, and the cost of waiting
    Lone,
    /// Single claims, batches, end to end and a lone claim on SQLite and the embedded broker, and the limit of SQLite
    Embedded,
    /// Reads with 10^3, 10^5 and 10^6 claims
    Reading,
    /// More load than the system can take
    Overload,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// How often each part is run.
    pub rounds: u32,
    /// The group sizes of the limit.
    pub groups: Vec<u32>,
    /// How long each load lasts.
    pub lasts: Duration,
    /// The connections of the loads of single claims.
    pub connections: Vec<usize>,
    /// Whether batches are also sent as CSV.
    pub csv: bool,
    /// The claims of a batch.
    pub bulk_claims: u64,
    /// The claims of a batch that is paid.
    pub paid_claims: u64,
    /// The numbers of payments.
    pub payments: Vec<usize>,
    /// The numbers of claims that are read.
    pub sizes: Vec<u64>,
    /// Settings beside the defaults, as environment variables.
    pub settings: Vec<(String, String)>,
}

/// A run in progress.
#[derive(Debug)]
pub struct Benchmark {
    /// What to run.
    pub plan: Plan,
    /// The servers.
    pub servers: Servers,
    /// The figures so far.
    pub results: Results,
    /// The limit of this round on PostgreSQL or SQLite for each group size, in claims a second.
    pub(super) limits: BTreeMap<(On, u32), f64>,
    next_claim: u64,
    began: Instant,
}

impl Benchmark {
    /// A run that has not begun.
    pub fn new(plan: Plan, servers: Servers) -> Self {
        let (results, limits) = (Results::default(), BTreeMap::new());
        Self { plan, servers, results, limits, next_claim: 0, began: Instant::now() }
    }

    /// Starts a fresh system.
    pub async fn system(&self, on: On, payments: usize) -> System {
        System::start(&self.servers, on, payments, &self.plan.settings).await
    }

    /// The first of so many numbers of claims that no other claim of the run has.
    pub fn take_numbers(&mut self, count: u64) -> u64 {
        let first = self.next_claim;
        self.next_claim += count;
        first
    }

    /// Adds the figures of a case, with its share of the limit for groups of this size in the same round.
    pub fn add_share(&mut self, case: &str, mut figures: Figures, on: On, group: u32) {
        if let (Some(rate), Some(limit)) = (figures.get("rate"), self.limits.get(&(on, group))) {
            figures.insert("share".to_owned(), rate / limit);
        }
        self.add(&format!("{}{case}", on.prefix()), figures);
    }

    /// Adds the figures of a case that stores no claims, or not as many as it can.
    pub fn add(&mut self, case: &str, figures: Figures) {
        let shown = ["rate", "share", "p50_ms", "p99_ms"]
            .into_iter()
            .chain(figures.keys().map(String::as_str).filter(|name| name.starts_with("cpu_us/")));
        let shown: Vec<String> = shown.filter_map(|name| Some(format!("{name} {:.4}", figures.get(name)?))).collect();
        self.progress(&format!("{case}: {}", shown.join(", ")));
        self.results.add(case, figures);
    }

    /// Prints what is being measured.
    #[allow(clippy::print_stderr, reason = "the program reports its progress")]
    pub(super) fn progress(&self, text: &str) {
        eprintln!("{:>6.1} s  {text}", self.began.elapsed().as_secs_f64());
    }
}
