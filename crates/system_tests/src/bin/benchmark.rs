//! The benchmark of [`system_tests::benchmark`]; prints the report and writes it. `bash scripts/benchmark.sh` starts the servers and
//! runs it.

use clap::Parser;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;
use system_tests::benchmark::postgres::Postgres;
use system_tests::benchmark::report::{self, Origin};
use system_tests::benchmark::system::Servers;
use system_tests::benchmark::{Benchmark, Part, Plan};
use tokio::signal::unix::{SignalKind, signal};

/// Measures the system on PostgreSQL and Kafka beside what the database under it can do, and writes a report.
#[derive(Parser)]
struct Arguments {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each part is run; the report has medians
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// The claims of a batch
    #[arg(long, default_value_t = 100_000)]
    claims: u64,
    /// The claims of a batch that is paid
    #[arg(long, default_value_t = 20_000)]
    paid_claims: u64,
    /// A setting of a service, by its environment variable: NAME=VALUE
    #[arg(long = "set", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// The directory of the report
    #[arg(long, default_value = ".local/benchmark")]
    out: PathBuf,
    /// Lists the parts
    #[arg(long)]
    list: bool,
}

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
        () = run(arguments) => ExitCode::SUCCESS,
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
        _ = terminated.recv() => ExitCode::from(143),
    }
}

async fn run(arguments: Arguments) {
    use clap::ValueEnum as _;
    if arguments.list {
        for part in Part::value_variants() {
            let value = part.to_possible_value().expect("each part has a name");
            print(&format!(
                "{:<12} {}",
                value.get_name(),
                value.get_help().map(ToString::to_string).unwrap_or_default()
            ));
        }
        return;
    }
    let parts = if arguments.only.is_empty() { Part::value_variants().to_vec() } else { arguments.only };
    let plan = Plan {
        parts,
        rounds: arguments.rounds,
        lasts: Duration::from_secs(arguments.seconds),
        connections: vec![1, 8, 64, 256],
        csv: true,
        bulk_claims: arguments.claims,
        paid_claims: arguments.paid_claims,
        payments: vec![1, 3],
        settings: arguments.settings,
    };
    let servers = servers();
    let origin = origin(&plan, &servers);
    let mut benchmark = Benchmark::new(plan, servers);
    benchmark.run().await;
    let text = report::markdown(&origin, &benchmark.results);
    std::fs::create_dir_all(&arguments.out).expect("the directory of the report can be made");
    let write = |name: &str, text: &str| {
        std::fs::write(arguments.out.join(name), text).expect("the report can be written");
    };
    write("benchmark.md", &text);
    let json = report::json(&origin, &benchmark.results);
    write("benchmark.json", &serde_json::to_string_pretty(&json).expect("figures are JSON"));
    print(&text);
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
