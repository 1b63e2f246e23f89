//! The payments command: reads its settings, builds the service and runs it.

use clap::Parser;
use payments::app::{Application, migrate};
use payments::settings::{PREFIX, Settings};
use service_runtime::command_line::{CommandLine, Service, execute, stop_signal};
use std::process::ExitCode;

/// Hears of claims through Kafka, pays each through the gateway as a saga, and says whether it was settled or unwound.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommandLine,
}

#[actix_web::main]
async fn main() -> ExitCode {
    let service = Service {
        name: "payments",
        settings_prefix: PREFIX,
        migrate,
        run: |settings: Settings| async { Application::build(settings)?.run_until(stop_signal()).await },
    };
    execute(Arguments::parse().common, service).await
}
