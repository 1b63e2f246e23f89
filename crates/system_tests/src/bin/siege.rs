//! The long run of [`system_tests::siege`] on PostgreSQL and Kafka; prints the faults and the result.
//! `bash scripts/siege.sh --scenario kills` starts the servers and runs it.

use clap::Parser;
use std::time::Duration;
use system_tests::siege::{Plan, Scenario, run};

/// Sends claims of all fates to the whole system on PostgreSQL and Kafka under faults, and audits the end.
#[derive(Parser)]
struct Arguments {
    /// The faults
    #[arg(long, value_enum, default_value = "kills")]
    scenario: Scenario,
    /// The number of claims
    #[arg(long, default_value_t = 20_000)]
    claims: i64,
    /// How many of a hundred claims are voided
    #[arg(long, default_value_t = 5)]
    voids_per_hundred: u64,
    /// The number of concurrent senders
    #[arg(long, default_value_t = 16)]
    senders: usize,
    /// How long an instance is frozen, in seconds
    #[arg(long, default_value_t = 60)]
    freeze_s: u64,
    /// Chooses which claims are voided, and when, and how the network fails
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() {
    let Arguments { scenario, claims, voids_per_hundred, senders, freeze_s, seed } = Arguments::parse();
    let freeze = Duration::from_secs(freeze_s);
    let plan = Plan { scenario, claims, voids_per_hundred, senders, freeze, seed };
    print(&run(scenario.start().await, plan).await.to_string());
}

#[allow(clippy::print_stdout, reason = "the program prints its report")]
fn print(text: &str) {
    println!("{text}");
}
