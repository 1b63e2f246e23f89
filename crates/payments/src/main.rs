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

#[actix_web::main]
async fn main() -> ExitCode {
    let service = Service {
        name: "payments",
        settings_prefix: PREFIX,
        migrate,
        own: |settings: &Settings, OwnCommand::Recover: OwnCommand| mark_restored(settings),
        run: |settings: Settings| async { Application::build(settings)?.run_until(stop_signal()).await },
    };
    execute(Arguments::parse().common, service).await
}
