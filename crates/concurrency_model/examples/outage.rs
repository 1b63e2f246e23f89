//! Runs the whole system on SQLite and the local broker while its gateway is down and claims wait for it: by default ten
//! thousand claims for five minutes. It checks that every claim ends as it must, and reports the behaviour of `payments`
//! meanwhile; `--svg FILE` draws it.

use clap::Parser;
use concurrency_model::panels::{Panel, Panels};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use system_tests::outage::{self, Away, Plan, Report};
use system_tests::stack::Stack;
use system_tests::watch::Second;

#[derive(Parser)]
struct Arguments {
    /// Claims sent while the gateway is down
    #[arg(long, default_value_t = 10_000)]
    claims: i64,
    /// How long the gateway is down, in seconds
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The capacity of the gateway, in calls a second
    #[arg(long, default_value_t = 100)]
    pace: u32,
    /// Freeze the gateway instead of killing it: it accepts connections and does not answer
    #[arg(long)]
    frozen: bool,
    /// The SVG file to draw
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[allow(clippy::print_stdout, reason = "the program prints its report")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { claims, seconds, pace, frozen, svg } = Arguments::parse();
    let schedule = format!("{pace}@0s");
    // The timeouts of the tests are too short for an outage of minutes; these are the defaults of the services.
    let settings = [
        ("SIMULATED_GATEWAY__THROUGHPUT__SCHEDULE", schedule.as_str()),
        ("PAYMENTS__GATEWAY__REQUEST_TIMEOUT_MS", "5000"),
        ("PAYMENTS__SAGA__LEASE_MS", "15000"),
        ("PAYMENTS__SAGA__MAX_RETRY_PAUSE_MS", "30000"),
        ("PAYMENTS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "10000"),
        ("CLAIM_PROCESS__KAFKA__CONSUMER__SESSION_TIMEOUT_MS", "10000"),
        ("CLAIM_PROCESS__WATCHDOG__FIRST_PAUSE_MS", "15000"),
        ("CLAIM_PROCESS__WATCHDOG__MAX_PAUSE_MS", "600000"),
    ];
    let mut stack = Stack::start_with(1, &settings).await;
    let away = if frozen { Away::Frozen } else { Away::Killed };
    let plan = Plan { away, claims, outage: Duration::from_secs(seconds), timeout: Duration::from_secs(1_200) };
    let report = outage::run(&mut stack, plan).await;
    println!("{report}");
    if let Some(path) = svg {
        let title =
            format!("{claims} claims; the gateway is down for {seconds} seconds, then takes {pace} calls a second");
        draw(&report, &title).write(&path)?;
        println!("drawn in {}", path.display());
    }
    Ok(())
}

fn draw<'a>(report: &Report, title: &'a str) -> Panels<'a> {
    let line = |what: fn(&Second) -> f64| report.seconds.iter().map(|second| (second.at_s, what(second))).collect();
    Panels {
        title,
        down_s: report.down_s.0..report.down_s.1,
        panels: vec![
            Panel {
                caption: "Gateway calls per second",
                unit: "calls/s (log)",
                is_log: true,
                lines: vec![("made", line(|second| second.calls)), ("answered", line(|second| second.answered))],
            },
            Panel {
                caption: "Limit on concurrent calls, and calls that wait for a permit",
                unit: "calls",
                is_log: false,
                lines: vec![("limit", line(|second| second.limit)), ("waiting", line(|second| second.waiting))],
            },
            Panel {
                caption: "Ended claims, and messages received by payments",
                unit: "in all",
                is_log: false,
                lines: vec![("ended", line(|second| second.ended)), ("received", line(|second| second.received))],
            },
            Panel {
                caption: "Resident memory of payments",
                unit: "MiB",
                is_log: false,
                lines: vec![("resident", line(|second| second.resident_mib))],
            },
        ],
    }
}
