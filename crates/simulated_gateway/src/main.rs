//! The simulated payment gateway as a process.

use clap::{Parser, Subcommand};
use service_runtime::telemetry;
use simulated_gateway::app::{Application, open_book};
use simulated_gateway::settings::Settings;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code for settings that cannot be used.
const WRONG_SETTINGS: u8 = 2;

/// A payment gateway to try things with: the cents of an amount choose what becomes of it, and no money moves.
///
/// Settings come from the environment (`SIMULATED_GATEWAY__HTTP__PORT=8090`), a TOML file and defaults; `settings` lists
/// them.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file with settings.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows every setting, its value and where it came from, and ends.
    Settings,
    /// Brings the database's tables up to date, and ends.
    Migrate,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let loaded = match Settings::load(arguments.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(WRONG_SETTINGS);
        }
    };
    let result = match arguments.command {
        Some(Command::Settings) => {
            say(loaded.describe().trim_end());
            Ok(())
        }
        Some(Command::Migrate) => open_book(&loaded.settings.database).map(|_| say("the database is up to date")),
        None => serve(loaded.settings),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("simulated_gateway: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> Result<(), String> {
    telemetry::start("simulated_gateway", &settings.log)?;
    actix_web::rt::System::new().block_on(async { Application::build(settings)?.run_until_stopped().await })
}

#[allow(clippy::print_stdout, reason = "what a subcommand was asked for is its output")]
fn say(text: &str) {
    println!("{text}");
}
