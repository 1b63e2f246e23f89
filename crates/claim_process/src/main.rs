//! The claim_process command: reads its settings, builds the service and runs it.

use claim_process::app::{Application, migrate};
use claim_process::settings::{PREFIX, Settings};
use clap::Parser;
use service_runtime::command_line::{CommandLine, Service, execute, stop_signal};
use std::process::ExitCode;

/// Takes dental claims in over HTTP, stores them, publishes them to Kafka and applies what became of their payments.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: CommandLine,
}

#[actix_web::main]
async fn main() -> ExitCode {
    let service = Service {
        name: "claim_process",
        settings_prefix: PREFIX,
        migrate,
        run: |settings: Settings| async { Application::build(settings)?.run_until(stop_signal()).await },
    };
    execute(Arguments::parse().common, service).await
}
