//! The payments command: reads its settings, builds the service and runs it.

use clap::{Parser, Subcommand};
use payments::app::{Application, mark_restored, migrate};
use payments::settings::{PREFIX, Settings};
use service_runtime::command_line::{CommandLine, Service, execute, stop_signal};
use std::process::ExitCode;

/// Consumes claim events, pays each claim through the gateway as a saga, and publishes whether it was settled or unwound.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommandLine<OwnCommand>,
}

#[derive(Subcommand)]
enum OwnCommand {
    /// Marks the database as restored from a backup: payments from before that are left alone until `claim_process
    /// reannounce` has run and each was looked up at the gateway
    Recover,
}

struct Payments;

impl Service for Payments {
    const NAME: &'static str = "payments";
    const SETTINGS_PREFIX: &'static str = PREFIX;
    type Settings = Settings;
    type Command = OwnCommand;

    fn migrate(settings: &Settings) -> anyhow::Result<()> {
        migrate(settings)
    }

    fn command(settings: &Settings, OwnCommand::Recover: OwnCommand) -> anyhow::Result<String> {
        mark_restored(settings)
    }

    async fn run(settings: Settings) -> anyhow::Result<()> {
        let shutdown = settings.shutdown.clone();
        Application::build(settings)?.run_until(shutdown.bound(stop_signal())).await
    }
}

#[actix_web::main]
async fn main() -> ExitCode {
    execute::<Payments>(Arguments::parse().common).await
}
