//! The simulated payment gateway as a process.

use clap::Parser;
use dual_db::DatabaseSettings;
use service_runtime::command_line::{CommandLine, NoOwnCommand, Service, execute, stop_signal};
use simulated_gateway::app::{Application, open_book};
use simulated_gateway::settings::{PREFIX, Settings};
use std::process::ExitCode;

/// A simulated payment gateway for development and tests: the cents of an amount choose its fate, and no money moves.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommandLine<NoOwnCommand>,
}

#[actix_web::main]
async fn main() -> ExitCode {
    let service = Service {
        name: "simulated_gateway",
        settings_prefix: PREFIX,
        migrate: |settings: &Settings| {
            open_book(&DatabaseSettings { migrate_at_start: true, ..settings.database.clone() }).map(drop)
        },
        own: |_: &Settings, command: NoOwnCommand| match command {},
        run: |settings: Settings| async { Application::build(settings)?.run_until(stop_signal()).await },
    };
    execute(Arguments::parse().common, service).await
}
