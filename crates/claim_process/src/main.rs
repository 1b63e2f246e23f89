//! The claim_process command: reads its settings, builds the service and runs it.

use anyhow::Context;
use claim_process::app::{Application, migrate, open_database};
use claim_process::events::reannounce::{Reannounced, reannounce};
use claim_process::settings::{PREFIX, Settings};
use clap::{Parser, Subcommand};
use service_runtime::command_line::{CommandLine, Service, execute, stop_signal};
use std::process::ExitCode;

/// Takes dental claims in over HTTP, stores them, publishes them to Kafka and applies what became of their payments.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommandLine<OwnCommand>,
}

#[derive(Subcommand)]
enum OwnCommand {
    /// Requests the outcome of every claim from payments again; a must after its database was lost or restored
    Reannounce {
        /// Only claims that anything happened to since then, as in 2026-11-22T09:30:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<jiff::Timestamp>,
    },
}

#[allow(clippy::print_stderr, reason = "progress is for the person at the terminal")]
fn report_progress(claims: usize) {
    eprintln!("{claims} claims …");
}

struct ClaimProcess;

impl Service for ClaimProcess {
    const NAME: &'static str = "claim_process";
    const SETTINGS_PREFIX: &'static str = PREFIX;
    type Settings = Settings;
    type Command = OwnCommand;

    fn migrate(settings: &Settings) -> anyhow::Result<()> {
        migrate(settings)
    }

    fn command(settings: &Settings, OwnCommand::Reannounce { since }: OwnCommand) -> anyhow::Result<String> {
        let database = open_database(&settings.database)?;
        let Reannounced { claims, resync_epoch } =
            reannounce(&database, since.map(jiff::Timestamp::as_microsecond), report_progress)
                .context("not every claim could be made due (run it again, which does no harm)")?;
        Ok(format!(
            "{claims} claims are reannounced with resync epoch {resync_epoch}; a running claim_process re-publishes up to {} of them every {} ms\n",
            settings.watchdog.max_claims, settings.watchdog.interval_ms
        ))
    }

    async fn run(settings: Settings) -> anyhow::Result<()> {
        let shutdown = settings.shutdown.clone();
        Application::build(settings)?.run_until(shutdown.bound(stop_signal())).await
    }
}

#[actix_web::main]
async fn main() -> ExitCode {
    execute::<ClaimProcess>(Arguments::parse().common).await
}
