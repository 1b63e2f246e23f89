//! The long run of [`system_tests::siege`] on PostgreSQL and Kafka, with what was done and what came of it in print.
//! `bash scripts/siege.sh --scenario kills` starts the servers and runs it.

use clap::Parser;
use std::time::Duration;
use system_tests::siege::{Plan, Scenario, lay};
use system_tests::stack::Stack;

/// Sends claims of all fates to the whole system on PostgreSQL and Kafka while things are done to it, and audits the end.
#[derive(Parser)]
struct Arguments {
    /// What is done
    #[arg(long, value_enum, default_value = "kills")]
    scenario: Scenario,
    /// How many claims are sent
    #[arg(long, default_value_t = 20_000)]
    claims: i64,
    /// Of a hundred claims, how many are withdrawn
    #[arg(long, default_value_t = 5)]
    voids_per_hundred: u64,
    /// By how many senders at once
    #[arg(long, default_value_t = 16)]
    senders: usize,
    /// How long an instance is frozen, in seconds
    #[arg(long, default_value_t = 60)]
    freeze_s: u64,
    /// Chooses which claims are withdrawn, and when
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() {
    let Arguments { scenario, claims, voids_per_hundred, senders, freeze_s, seed } = Arguments::parse();
    let freeze = Duration::from_secs(freeze_s);
    let plan = Plan { scenario, claims, voids_per_hundred, senders, freeze, seed };
    let stack = Stack::start_on_servers(2, 4).await;
    print(&lay(stack, plan).await.to_string());
}

#[allow(clippy::print_stdout, reason = "the report is what this program is for")]
fn print(text: &str) {
    println!("{text}");
}
