//! The benchmark of [`system_tests::benchmark`]; prints the report and writes it. `bash scripts/benchmark.sh` starts the servers and
//! runs it.

use clap::{Parser, ValueEnum as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use system_tests::benchmark::limit;
use system_tests::benchmark::plots;
use system_tests::benchmark::postgres::Postgres;
use system_tests::benchmark::reference::Reference;
use system_tests::benchmark::report::{self, Origin};
use system_tests::benchmark::statistics::Results;
use system_tests::benchmark::system::Servers;
use system_tests::benchmark::{Benchmark, Part, Plan};
use tokio::signal::unix::{SignalKind, signal};

/// Measures the system on PostgreSQL and Kafka beside what the database under it can do, and writes a report.
#[derive(Parser)]
struct Arguments {
    /// Two minutes: few cases; fails if a process needs half as much CPU time a claim again as in the committed reference
    #[arg(long)]
    short: bool,
    /// Writes the reference of --short instead of comparing with it
    #[arg(long, requires = "short")]
    write_reference: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each part is run; the report has medians
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each load lasts, in seconds [default: 8, short: 4]
    #[arg(long)]
    seconds: Option<u64>,
    /// The claims of a batch [default: 100000, short: 20000]
    #[arg(long)]
    claims: Option<u64>,
    /// The claims of a batch that is paid [default: 20000, short: 3000]
    #[arg(long)]
    paid_claims: Option<u64>,
    /// A setting of a service beside the defaults, by its environment variable: NAME=VALUE
    #[arg(long = "set", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// The directory of the report
    #[arg(long, default_value = ".local/benchmark")]
    out: PathBuf,
    /// Lists the parts
    #[arg(long)]
    list: bool,
}

impl Arguments {
    fn plan(&self) -> Plan {
        let all = if self.short { &SHORT[..] } else { Part::value_variants() };
        let one_of = |long: u64, short: u64| if self.short { short } else { long };
        Plan {
            parts: if self.only.is_empty() { all.to_vec() } else { self.only.clone() },
            rounds: self.rounds,
            groups: if self.short { vec![64] } else { limit::GROUPS.to_vec() },
            lasts: Duration::from_secs(self.seconds.unwrap_or(one_of(8, 4))),
            connections: if self.short { vec![64] } else { vec![1, 8, 64, 256] },
            csv: !self.short,
            bulk_claims: self.claims.unwrap_or(one_of(100_000, 20_000)),
            paid_claims: self.paid_claims.unwrap_or(one_of(20_000, 3_000)),
            payments: if self.short { vec![1] } else { vec![1, 3] },
            sizes: vec![1_000, 100_000, 1_000_000],
            settings: self.settings.clone(),
        }
    }
}

/// The parts of the short form.
const SHORT: [Part; 4] = [Part::Limit, Part::Single, Part::Bulk, Part::EndToEnd];
/// The reference of the short form.
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benchmark_reference.json");

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

// One thread: the load generator's cost is that of this process, and children live as long as the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut terminated = signal(SignalKind::terminate()).expect("signals can be handled");
    // The run is dropped then, which stops all processes.
    tokio::select! {
        code = run(&arguments) => code,
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
        _ = terminated.recv() => ExitCode::from(143),
    }
}

async fn run(arguments: &Arguments) -> ExitCode {
    if arguments.list {
        for part in Part::value_variants() {
            let value = part.to_possible_value().expect("each part has a name");
            print(&format!(
                "{:<12} {}",
                value.get_name(),
                value.get_help().map(ToString::to_string).unwrap_or_default()
            ));
        }
        return ExitCode::SUCCESS;
    }
    let (plan, servers) = (arguments.plan(), servers());
    let origin = origin(&plan, &servers);
    let mut benchmark = Benchmark::new(plan, servers);
    benchmark.run().await;
    let results = &benchmark.results;
    let (text, json) = (report::markdown(&origin, results), report::json(&origin, results));
    std::fs::create_dir_all(&arguments.out).expect("the directory of the report can be made");
    write(&arguments.out.join("benchmark.md"), &text);
    write(&arguments.out.join("benchmark.json"), &pretty(&json));
    plots::write(results, &arguments.out).expect("the plots can be written");
    print(&text);
    if !arguments.short || !arguments.only.is_empty() { ExitCode::SUCCESS } else { compare(arguments, results) }
}

/// Compares a short run with the reference, or writes it.
fn compare(arguments: &Arguments, results: &Results) -> ExitCode {
    let measured = Reference::of(results);
    if arguments.write_reference {
        write(Path::new(REFERENCE), &pretty(&serde_json::to_value(&measured).expect("figures are JSON")));
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read_to_string(REFERENCE).expect("the reference is committed; --write-reference writes it");
    let reference: Reference = serde_json::from_str(&text).expect("the reference is JSON");
    let complaints = reference.complaints(&measured);
    complaints.iter().for_each(|complaint| print(complaint));
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
}

fn pretty(json: &serde_json::Value) -> String {
    serde_json::to_string_pretty(json).expect("figures are JSON") + "\n"
}

/// The servers that `scripts/benchmark.sh` started.
fn servers() -> Servers {
    let variable =
        |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/benchmark.sh"));
    let postgres = Postgres::at(&variable("BENCHMARK_POSTGRES_URL"));
    let kafka_process = variable("BENCHMARK_KAFKA_PROCESS").parse().expect("BENCHMARK_KAFKA_PROCESS is a process id");
    let postgres_process = postgres.first_process();
    Servers { postgres, postgres_process, brokers: variable("BENCHMARK_KAFKA_BROKERS"), kafka_process }
}

fn origin(plan: &Plan, servers: &Servers) -> Origin {
    let first_line = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).output();
        let text = done.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or("unknown").to_owned()
    };
    let changed = first_line("git", &["status", "--porcelain", "--untracked-files=no"]) != "unknown";
    let commit = first_line("git", &["rev-parse", "HEAD"]);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let pom = std::fs::read_to_string("deploy/kafka/pom.xml").unwrap_or_default();
    let (_, after) = pom.split_once("<artifactId>kafka_2.13</artifactId>").unwrap_or_default();
    let (_, after) = after.split_once("<version>").unwrap_or_default();
    let kafka = after.split('<').next().filter(|version| !version.is_empty()).unwrap_or("unknown").to_owned();
    Origin {
        commit: if changed { format!("{commit}, changed") } else { commit },
        date: first_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        cpu: cpu.trim_start_matches([':', ' ', '\t']).to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        postgres: servers.postgres.version(),
        kafka,
        rounds: plan.rounds,
        settings: plan.settings.clone(),
    }
}

#[allow(clippy::print_stdout, reason = "the program prints its report")]
fn print(text: &str) {
    println!("{text}");
}
