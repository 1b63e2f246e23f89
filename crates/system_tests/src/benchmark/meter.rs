//! What a measurement costs: CPU time, memory, WAL, statements, log lines and group sizes between two points in time.

use super::statistics::Figures;
use super::system::System;
use crate::proc;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The histograms of claim_process whose mean is a figure, and its name.
const MEANS: [(&str, &str); 1] = [("ingest_group_claims", "group_claims")];

/// The state of all counters at one point in time.
#[derive(Debug)]
pub struct Meter {
    at: Instant,
    cpu_us: BTreeMap<&'static str, u64>,
    wal_bytes: Option<f64>,
    statements: Option<f64>,
    log_lines: BTreeMap<&'static str, usize>,
    metrics: BTreeMap<String, f64>,
}

impl Meter {
    /// Reads all counters. The CPU time is read last at the start, so that reading the others does not count.
    pub async fn start(system: &System) -> Self {
        let mut meter = Self::other_counters(system).await;
        meter.cpu_us = cpu_us(system);
        meter.at = Instant::now();
        meter
    }

    /// Ends the measurement of so many claims (or requests).
    pub async fn stop(self, system: &System, claims: u64) -> Figures {
        let (took, cpu) = (self.at.elapsed(), cpu_us(system));
        self.stopped(system, took, &cpu, claims).await
    }

    async fn stopped(self, system: &System, took: Duration, cpu: &BTreeMap<&'static str, u64>, claims: u64) -> Figures {
        let count = claims.max(1) as f64;
        let mut figures = Figures::from([
            ("rate".to_owned(), claims as f64 / took.as_secs_f64()),
            ("seconds".to_owned(), took.as_secs_f64()),
            ("claims".to_owned(), claims as f64),
        ]);
        for (name, us) in cpu {
            let used = us.saturating_sub(self.cpu_us.get(name).copied().unwrap_or_default()) as f64;
            figures.insert(format!("cpu_us/{name}"), used / count);
            figures.insert(format!("cpu_share/{name}"), used / took.as_micros() as f64);
        }
        for (name, bytes) in memory(system) {
            figures.insert(format!("memory_mib/{name}"), bytes as f64 / f64::from(1 << 20));
        }
        let now = Self::other_counters(system).await;
        let mut difference = |name: &str, before: Option<f64>, after: Option<f64>| {
            if let (Some(before), Some(after)) = (before, after) {
                figures.insert(name.to_owned(), (after - before) / count);
            }
        };
        difference("wal_bytes", self.wal_bytes, now.wal_bytes);
        difference("statements", self.statements, now.statements);
        for (name, lines) in &now.log_lines {
            let before = self.log_lines.get(name).copied().unwrap_or_default();
            figures.insert(format!("log_lines/{name}"), (lines - before) as f64 / count);
        }
        for (histogram, figure) in MEANS {
            let more = |part: &str| {
                let series = format!("{histogram}_{part}");
                let value = |metrics: &BTreeMap<String, f64>| metrics.get(&series).copied().unwrap_or_default();
                value(&now.metrics) - value(&self.metrics)
            };
            let groups = more("count");
            if groups > 0.0 {
                figures.insert(figure.to_owned(), more("sum") / groups);
            }
        }
        figures
    }

    async fn other_counters(system: &System) -> Self {
        let log_lines = [("claim_process", &system.stack.claim_process), ("payments", &system.stack.payments)];
        let lines = |processes: &Vec<crate::process::Process>| -> usize {
            processes.iter().map(|process| process.output().lines().count()).sum()
        };
        Self {
            at: Instant::now(),
            cpu_us: BTreeMap::new(),
            wal_bytes: system.postgres().map(super::postgres::Postgres::wal_bytes),
            statements: system.postgres().and_then(super::postgres::Postgres::statements),
            log_lines: log_lines.into_iter().map(|(name, processes)| (name, lines(processes))).collect(),
            metrics: system.claim_process_metrics().await,
        }
    }
}

/// The CPU time of each kind of process so far. PostgreSQL's includes its ended backends.
fn cpu_us(system: &System) -> BTreeMap<&'static str, u64> {
    let mut all: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (name, ids) in system.processes().into_iter().filter(|(_, ids)| !ids.is_empty()) {
        all.insert(name, ids.into_iter().filter_map(proc::stat).map(|stat| stat.cpu_us).sum());
    }
    if let Some(first) = system.postgres_process() {
        all.insert("postgres", tree_cpu_us(first));
    }
    all
}

/// The CPU time of a process, its running children, and its ended ones.
pub fn tree_cpu_us(first: u32) -> u64 {
    loop {
        let own = proc::stat(first).unwrap_or_default();
        let running: u64 = proc::children(first).into_iter().filter_map(proc::stat).map(|stat| stat.cpu_us).sum();
        // A child that ended meanwhile would be counted twice or not at all.
        if proc::stat(first).unwrap_or_default().ended_children_cpu_us == own.ended_children_cpu_us {
            return own.cpu_us + own.ended_children_cpu_us + running;
        }
    }
}

/// The memory of each kind of process in bytes: the highest so far of one instance; of PostgreSQL, that of all its processes now.
fn memory(system: &System) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    for (name, ids) in system.processes().into_iter().filter(|(_, ids)| !ids.is_empty()) {
        all.insert(name, ids.into_iter().filter_map(proc::peak_memory).max().unwrap_or_default());
    }
    if let Some(first) = system.postgres_process() {
        let backends = proc::children(first).into_iter().chain([first]);
        all.insert("postgres", backends.filter_map(proc::proportional_memory).sum());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_cpu_time_of_ended_children_is_kept() {
        let own = std::process::id();
        let before = tree_cpu_us(own);
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", busy]).status().unwrap().success());
        assert!(tree_cpu_us(own) > before);
    }
}
