//! Writes the figures as Markdown and JSON.

use super::statistics::{Results, Spread};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What was measured, and where.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The commit, with `, changed` if files differed from it.
    pub commit: String,
    /// The time of the start, in UTC.
    pub date: String,
    /// The model of the CPU.
    pub cpu: String,
    /// The number of cores.
    pub cores: usize,
    /// The version of the PostgreSQL server.
    pub postgres: String,
    /// The version of Kafka.
    pub kafka: String,
    /// The number of rounds.
    pub rounds: u32,
    /// Settings beside the defaults.
    pub settings: Vec<(String, String)>,
}

/// A column of the tables.
struct Column {
    title: &'static str,
    figure: &'static str,
    decimals: usize,
    /// Whether the lowest and highest values are shown.
    with_spread: bool,
}

const fn column(title: &'static str, figure: &'static str, decimals: usize) -> Column {
    Column { title, figure, decimals, with_spread: false }
}

const SPEED: [Column; 5] = [
    Column { title: "a second", figure: "rate", decimals: 0, with_spread: true },
    Column { title: "share of the limit", figure: "share", decimals: 3, with_spread: true },
    column("p50 ms", "p50_ms", 2),
    column("p99 ms", "p99_ms", 2),
    column("p99.9 ms", "p999_ms", 2),
];
const CPU: [Column; 8] = [
    column("SQLite", "cpu_us/sqlite", 1),
    column("claim_process", "cpu_us/claim_process", 1),
    column("payments", "cpu_us/payments", 1),
    column("gateway", "cpu_us/simulated_gateway", 1),
    column("PostgreSQL", "cpu_us/postgres", 1),
    column("Kafka", "cpu_us/kafka", 1),
    column("embedded broker", "cpu_us/local_broker", 1),
    column("load generator", "cpu_us/load", 1),
];
const WORK: [Column; 5] = [
    column("claims a group", "group_claims", 1),
    column("WAL bytes", "wal_bytes", 0),
    column("statements", "statements", 2),
    column("log lines, claim_process", "log_lines/claim_process", 2),
    column("log lines, payments", "log_lines/payments", 2),
];
const CORES: [Column; 7] = [
    column("claim_process", "cpu_share/claim_process", 3),
    column("payments", "cpu_share/payments", 3),
    column("gateway", "cpu_share/simulated_gateway", 3),
    column("PostgreSQL", "cpu_share/postgres", 3),
    column("Kafka", "cpu_share/kafka", 3),
    column("embedded broker", "cpu_share/local_broker", 3),
    column("load generator", "cpu_share/load", 3),
];
const OVERLOAD: [Column; 5] = [
    column("share of 503", "refused_share", 3),
    column("share of failures", "failed_share", 3),
    column("p50 ms of refusals", "refused_p50_ms", 2),
    column("p99 ms of refusals", "refused_p99_ms", 2),
    column("recovery s", "recovery_s", 3),
];
const MEMORY: [Column; 6] = [
    column("claim_process", "memory_mib/claim_process", 0),
    column("payments", "memory_mib/payments", 0),
    column("gateway", "memory_mib/simulated_gateway", 0),
    column("PostgreSQL", "memory_mib/postgres", 0),
    column("Kafka", "memory_mib/kafka", 0),
    column("embedded broker", "memory_mib/local_broker", 0),
];

/// The report as Markdown.
pub fn markdown(origin: &Origin, results: &Results) -> String {
    let mut text = String::from("# Benchmark\n\n");
    for (name, value) in origin_lines(origin) {
        let _ = writeln!(text, "- {name}: {value}");
    }
    let sections: [(&str, &str, &[Column]); 6] = [
        ("Speed", "Medians of all rounds, with the lowest and highest.", &SPEED),
        ("CPU", "CPU microseconds a claim, by process.", &CPU),
        ("Work", "For each claim.", &WORK),
        ("Overload", "Of the answers to claims that came too fast.", &OVERLOAD),
        ("Cores", "The cores that each process kept busy; one core is 1.", &CORES),
        (
            "Memory",
            "MiB: the highest resident set of one instance; of PostgreSQL, that of all its processes at the end.",
            &MEMORY,
        ),
    ];
    for (title, what, columns) in sections {
        let rows: Vec<_> = results.cases.iter().filter_map(|(case, figures)| row(case, figures, columns)).collect();
        if rows.is_empty() {
            continue;
        }
        let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
        let _ = writeln!(text, "\n## {title}\n\n{what}\n\n| case | {} |", titles.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(columns.len()));
        rows.iter().for_each(|row| text.push_str(row));
    }
    text
}

/// A row of a table; `None` if the case has no figure of it.
fn row(case: &str, figures: &BTreeMap<String, Vec<f64>>, columns: &[Column]) -> Option<String> {
    let cells: Vec<_> = columns
        .iter()
        .map(|column| Spread::of(figures.get(column.figure)?).map(|spread| cell(column, spread)))
        .collect();
    cells.iter().any(Option::is_some).then(|| {
        let cells: Vec<String> = cells.into_iter().map(Option::unwrap_or_default).collect();
        format!("| {case} | {} |\n", cells.join(" | "))
    })
}

fn cell(column: &Column, spread: Spread) -> String {
    let number = |value: f64| format!("{value:.*}", column.decimals);
    if column.with_spread && spread.least < spread.most {
        format!("{} ({}–{})", number(spread.median), number(spread.least), number(spread.most))
    } else {
        number(spread.median)
    }
}

fn origin_lines(origin: &Origin) -> Vec<(&'static str, String)> {
    let settings: Vec<String> = origin.settings.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    vec![
        ("commit", origin.commit.clone()),
        ("date", origin.date.clone()),
        ("machine", format!("{} cores, {}", origin.cores, origin.cpu)),
        ("PostgreSQL", origin.postgres.clone()),
        ("Kafka", origin.kafka.clone()),
        ("rounds", origin.rounds.to_string()),
        (
            "settings beside addresses, databases and the gateway's URL",
            if settings.is_empty() { "none".to_owned() } else { settings.join(", ") },
        ),
    ]
}

/// The report as JSON: each figure of each case with its median and the values of all rounds.
pub fn json(origin: &Origin, results: &Results) -> Value {
    let cases: serde_json::Map<String, Value> = results
        .cases
        .iter()
        .map(|(case, figures)| {
            let figures: serde_json::Map<String, Value> = figures
                .iter()
                .filter_map(|(name, values)| {
                    let median = Spread::of(values)?.median;
                    Some((name.clone(), json!({"median": median, "rounds": values})))
                })
                .collect();
            (case.clone(), Value::Object(figures))
        })
        .collect();
    let settings: BTreeMap<_, _> = origin.settings.iter().cloned().collect();
    json!({
        "commit": origin.commit, "date": origin.date, "cores": origin.cores, "cpu": origin.cpu,
        "postgres": origin.postgres, "kafka": origin.kafka, "rounds": origin.rounds, "settings": settings, "cases": cases,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::statistics::Figures;

    fn origin() -> Origin {
        Origin {
            commit: "abc".to_owned(),
            date: "2026-11-29".to_owned(),
            cpu: "Some CPU".to_owned(),
            cores: 2,
            postgres: "15".to_owned(),
            kafka: "4".to_owned(),
            rounds: 3,
            settings: vec![("A__B".to_owned(), "c".to_owned())],
        }
    }

    fn results() -> Results {
        let mut results = Results::default();
        for rate in [100.0, 120.0, 90.0] {
            let figures = [("rate", rate), ("share", 0.5), ("cpu_us/payments", rate / 10.0)];
            results.add("single", figures.map(|(name, value)| (name.to_owned(), value)).into());
        }
        results.add("limit", Figures::from([("rate".to_owned(), 7.0)]));
        results
    }

    #[test]
    fn the_table_has_medians_and_spreads_and_leaves_out_what_was_not_measured() {
        let text = markdown(&origin(), &results());
        assert!(text.contains("| single | 100 (90–120) | 0.500 |  |  |  |\n"), "{text}");
        assert!(text.contains("| limit | 7 |  |  |  |  |\n"), "{text}");
        assert!(text.contains("| single |  |  | 10.0 |"), "{text}");
        assert!(!text.contains("## Memory"), "{text}");
        assert!(text.contains("- settings beside addresses, databases and the gateway's URL: `A__B=c`\n"), "{text}");
        assert_eq!(text.matches("| limit |").count(), 1, "{text}");
    }

    #[test]
    fn the_json_has_all_rounds() {
        let json = json(&origin(), &results());
        assert_eq!(json["cases"]["single"]["rate"], json!({"median": 100.0, "rounds": [100.0, 120.0, 90.0]}));
        assert_eq!(json["settings"]["A__B"], "c");
    }
}
