//! Figures of one measurement, their medians and spreads over rounds, and latencies.

use std::collections::BTreeMap;

/// The figures of one measurement, by name.
///
/// A name says the unit (`rate`, in claims or requests a second; `p99_ms`; `wal_bytes`), and after a slash what it belongs to
/// (`cpu_us/payments`). `_us`, `_bytes`, `statements` and `log_lines` are for each claim.
pub type Figures = BTreeMap<String, f64>;

/// The figures of all rounds.
#[derive(Debug, Default, Clone)]
pub struct Results {
    /// The values of each figure of each case, in the order of the rounds. Cases are in the order in which they were first measured.
    pub cases: Vec<(String, BTreeMap<String, Vec<f64>>)>,
}

impl Results {
    /// Adds the figures of a case in one round.
    pub fn add(&mut self, case: &str, figures: Figures) {
        let known = self.cases.iter().position(|(name, _)| name == case);
        let index = known.unwrap_or_else(|| {
            self.cases.push((case.to_owned(), BTreeMap::new()));
            self.cases.len() - 1
        });
        for (name, value) in figures {
            self.cases[index].1.entry(name).or_default().push(value);
        }
    }

    /// The spread of a figure over the rounds, if it was measured.
    pub fn spread(&self, case: &str, figure: &str) -> Option<Spread> {
        let (_, figures) = self.cases.iter().find(|(name, _)| name == case)?;
        Spread::of(figures.get(figure)?)
    }
}

/// How a figure varies over rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The lowest value.
    pub least: f64,
    /// The highest value.
    pub most: f64,
}

impl Spread {
    /// The spread of values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, least, most })
    }
}

/// The latencies of requests, all of them: a run has fewer than ten million.
#[derive(Debug, Default, Clone)]
pub struct Latencies {
    us: Vec<u32>,
}

impl Latencies {
    /// Adds a latency in microseconds.
    pub fn add(&mut self, us: u128) {
        self.us.push(u32::try_from(us).unwrap_or(u32::MAX));
    }

    /// Adds all latencies of another connection or round.
    pub fn merge(&mut self, other: Self) {
        self.us.extend(other.us);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.us.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.us.is_empty()
    }

    /// Percentiles in milliseconds as figures `p50_ms`, `p99_ms` and `p999_ms`: the lowest latency that this share of all does not
    /// exceed. None if there is no latency.
    pub fn figures(mut self) -> Figures {
        self.us.sort_unstable();
        let at = |share: f64| {
            let rank = (self.us.len() as f64 * share).ceil() as usize;
            self.us.get(rank.max(1) - 1).map(|us| f64::from(*us) / 1_000.0)
        };
        let named = [("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999)];
        named.into_iter().filter_map(|(name, share)| Some((name.to_owned(), at(share)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_median_of_an_odd_and_of_an_even_number_of_rounds() {
        assert_eq!(Spread::of(&[3.0, 1.0, 9.0]), Some(Spread { median: 3.0, least: 1.0, most: 9.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 9.0, 2.0]), Some(Spread { median: 3.0, least: 1.0, most: 9.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn results_keep_the_order_of_cases_and_collect_rounds() {
        let mut results = Results::default();
        for rate in [5.0, 7.0] {
            results.add("limit", Figures::from([("rate".to_owned(), rate * 10.0)]));
            results.add("bulk", Figures::from([("rate".to_owned(), rate)]));
        }
        assert_eq!(results.cases.iter().map(|(case, _)| case.as_str()).collect::<Vec<_>>(), ["limit", "bulk"]);
        assert_eq!(results.spread("bulk", "rate"), Some(Spread { median: 6.0, least: 5.0, most: 7.0 }));
        assert_eq!(results.spread("bulk", "p50_ms"), None);
    }

    #[test]
    fn percentiles_are_those_of_all_merged_latencies() {
        let mut latencies = Latencies::default();
        (1..=999_u128).for_each(|ms| latencies.add(ms * 1_000));
        let mut other = Latencies::default();
        other.add(7_000_000);
        latencies.merge(other);
        assert_eq!(latencies.len(), 1_000);
        let expected = [("p50_ms", 500.0), ("p99_ms", 990.0), ("p999_ms", 999.0)];
        assert_eq!(latencies.figures(), expected.map(|(name, ms)| (name.to_owned(), ms)).into());
        assert!(Latencies::default().is_empty());
        assert_eq!(Latencies::default().figures(), Figures::new());
    }
}
