//! The simulated payment gateway as a process.

use clap::Parser;
use dual_db::DatabaseSettings;
use service_runtime::command_line::{CommandLine, NoOwnCommand, Service, execute, stop_signal};
use simulated_gateway::app::{Application, open_book};
use simulated_gateway::settings::{PREFIX, Settings};
use std::process::ExitCode;

/// A payment gateway to try things with: the cents of an amount choose what becomes of it, and no money moves.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommandLine<NoOwnCommand>,
}

struct SimulatedGateway;

impl Service for SimulatedGateway {
    const NAME: &'static str = "simulated_gateway";
    const SETTINGS_PREFIX: &'static str = PREFIX;
    type Settings = Settings;
    type Command = NoOwnCommand;

    fn migrate(settings: &Settings) -> anyhow::Result<()> {
        open_book(&DatabaseSettings { migrate_at_start: true, ..settings.database.clone() }).map(drop)
    }

    fn command(_: &Settings, command: NoOwnCommand) -> anyhow::Result<String> {
        match command {}
    }

    async fn run(settings: Settings) -> anyhow::Result<()> {
        Application::build(settings)?.run_until(stop_signal()).await
    }
}

#[actix_web::main]
async fn main() -> ExitCode {
    execute::<SimulatedGateway>(Arguments::parse().common).await
}
