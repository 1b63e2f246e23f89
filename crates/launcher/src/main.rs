//! The launcher's command line, for `develop_local.sh` and the all-in-one image.

use clap::{Parser, Subcommand};
use launcher::console::{Console, Level, Style};
use launcher::environment::Environment;
use launcher::local_plan::Options;
use launcher::supervisor::{Ending, Supervisor};
use launcher::{all_in_one, runserver, test_run};
use std::process::ExitCode;

/// Runs the whole system on this machine, or its tests
#[derive(Parser)]
#[command(bin_name = "bash develop_local.sh")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds and starts the whole system, and stops it on Ctrl-C
    Runserver {
        /// Builds with optimisation
        #[arg(long)]
        release: bool,
        /// Starts a real PostgreSQL for all data
        #[arg(long)]
        postgres: bool,
        /// Starts a real Kafka instead of the embedded broker
        #[arg(long)]
        kafka: bool,
        /// How many instances of payments
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=32))]
        payments: u16,
    },
    /// Runs cargo test with these arguments, with the servers that tests need
    Test {
        /// Arguments for cargo test
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs everything in one container
    AllInOne,
    /// Checks whether the services of the all-in-one container are ready
    Health,
}

fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Runserver { release, postgres, kafka, payments } => {
            runserver::run(Options { postgres, kafka, payments }, release).unwrap_or_else(|refusal| {
                runserver::report(&refusal);
                refusal.exit_code
            })
        }
        Command::Test { arguments } => test_run::run(&arguments).unwrap_or_else(|error| {
            runserver::complain(&error.to_string());
            1
        }),
        Command::AllInOne => run_all_in_one(),
        Command::Health => u8::from(!all_in_one::is_healthy()),
    };
    ExitCode::from(code)
}

fn run_all_in_one() -> u8 {
    let console = Console::new(Style::Json, "all_in_one");
    let supervisor =
        match Supervisor::new(all_in_one::members(Environment::own()), all_in_one::LIMITS, console.clone(), None) {
            Ok(supervisor) => supervisor,
            Err(error) => {
                let _ = console.log(Level::Error, &format!("signals cannot be handled: {error}"));
                return 1;
            }
        };
    let ready = |console: &Console| console.log(Level::Info, "everything is ready: claims are accepted on port 8000");
    match supervisor.run(ready, || ()) {
        // Stopping a container is a normal end.
        Ending::Signal(_) => 0,
        Ending::OutputClosed | Ending::GaveUp => 1,
    }
}
