//! Compares CPU time a claim with a committed reference, so that a change that makes a service dearer is noticed.
//!
//! Machines differ, so the reference is scaled by what the limit costs PostgreSQL here and there. The lowest value of all rounds
//! counts: other work on the machine only adds to it.

use super::statistics::{Results, Spread};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The case whose cost measures the machine.
const YARDSTICK: (&str, &str) = ("limit, n = 64", "postgres");
/// A process fails that costs more than the scaled reference times this.
const TOLERATED: f64 = 1.5;
/// A rise by less than this is below what the kernel's clock and the number of claims resolve, in microseconds a claim.
const NEGLIGIBLE_US: f64 = 5.0;
/// The load generator is not under test, and a young JVM mostly compiles itself.
const NOT_COMPARED: [&str; 2] = ["load", "kafka"];

/// CPU microseconds a claim by case and process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference {
    cases: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Reference {
    /// The reference that a run is.
    pub fn of(results: &Results) -> Self {
        let cases = results.cases.iter().map(|(case, figures)| {
            let cpu = figures.iter().filter_map(|(name, values)| {
                let process = name.strip_prefix("cpu_us/").filter(|process| !NOT_COMPARED.contains(process))?;
                let least = Spread::of(values)?.least;
                Some((process.to_owned(), (least * 10.0).round() / 10.0))
            });
            (case.clone(), cpu.collect())
        });
        Self { cases: cases.collect() }
    }

    /// A sentence for each process that costs more than half as much again as in this reference.
    ///
    /// # Panics
    /// If either run did not measure the limit, which scales the reference.
    pub fn complaints(&self, measured: &Self) -> Vec<String> {
        let scale = measured.yardstick() / self.yardstick();
        let mut complaints = Vec::new();
        for (case, processes) in measured.cases.iter().filter(|(case, _)| *case != YARDSTICK.0) {
            for (process, us) in processes {
                let Some(reference) = self.cases.get(case).and_then(|processes| processes.get(process)) else {
                    continue;
                };
                let scaled = reference * scale;
                if *us > scaled * TOLERATED && *us > scaled + NEGLIGIBLE_US {
                    complaints.push(format!(
                        "{process} used {us:.1} µs of CPU time a claim in '{case}'; the reference is {reference:.1} µs, \
                         which is {scaled:.1} µs on this machine, and a rise by half is tolerated."
                    ));
                }
            }
        }
        complaints
    }

    fn yardstick(&self) -> f64 {
        let (case, process) = YARDSTICK;
        let us = self.cases.get(case).and_then(|processes| processes.get(process)).copied();
        us.filter(|us| *us > 0.0).unwrap_or_else(|| panic!("'{case}' is not measured, and scales the reference"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(limit: f64, payments: &[f64], gateway: f64) -> Reference {
        let mut results = Results::default();
        results.add("limit, n = 64", [("cpu_us/postgres".to_owned(), limit)].into());
        for payments in payments {
            let figures = [
                ("cpu_us/payments", *payments),
                ("cpu_us/simulated_gateway", gateway),
                ("cpu_us/load", 1.0),
                ("rate", 9.0),
            ];
            results.add("end to end", figures.map(|(name, value)| (name.to_owned(), value)).into());
        }
        Reference::of(&results)
    }

    #[test]
    fn a_rise_by_more_than_half_is_named() {
        let reference = run(30.0, &[100.0], 10.0);
        let complaints = reference.complaints(&run(30.0, &[151.0], 10.0));
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        for part in ["payments", "151.0", "100.0", "'end to end'"] {
            assert!(complaints[0].contains(part), "{complaints:?}");
        }
        assert_eq!(reference.complaints(&run(30.0, &[149.0], 10.0)), Vec::<String>::new());
    }

    #[test]
    fn the_best_round_counts_and_a_slower_machine_is_allowed_for() {
        let reference = run(30.0, &[100.0], 10.0);
        assert_eq!(reference.complaints(&run(30.0, &[400.0, 120.0], 10.0)), Vec::<String>::new());
        assert_eq!(reference.complaints(&run(60.0, &[250.0], 10.0)), Vec::<String>::new());
        assert_eq!(reference.complaints(&run(60.0, &[310.0], 10.0)).len(), 1);
    }

    #[test]
    fn what_is_too_small_to_measure_does_not_fail() {
        let reference = run(30.0, &[100.0], 0.5);
        assert_eq!(reference.complaints(&run(30.0, &[100.0], 4.0)), Vec::<String>::new());
        assert_eq!(reference.complaints(&run(30.0, &[100.0], 9.0)).len(), 1);
    }

    #[test]
    fn the_file_keeps_it() {
        let reference = run(30.0, &[100.0], 10.0);
        let text = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<Reference>(&text).unwrap(), reference);
        assert!(!text.contains("load"), "{text}");
    }
}
