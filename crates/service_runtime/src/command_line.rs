//! What the services' command lines have in common: a configuration file, `settings`, `migrate`, `health`, commands of a
//! service's own, and running until a signal. A problem is a sentence on standard error (in the log of a service that logs
//! as JSON): exit code 2 for settings, 1 for everything else.

use crate::http_server::HttpSettings;
use crate::log_writer::LogWriter;
use crate::probe::{self, Question};
use crate::settings::{self, Loaded, SettingsError};
use crate::telemetry::{self, LogSettings};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use validator::Validate;

/// The arguments of a service, whose own commands are `Own`.
#[derive(Debug, Args)]
pub struct CommandLine<Own: Subcommand> {
    /// A TOML file with settings; environment variables win over it
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do instead of running
    #[command(subcommand)]
    pub command: Option<Command<Own>>,
}

/// What a service does instead of running.
#[derive(Debug, Clone, Subcommand)]
pub enum Command<Own: Subcommand> {
    /// Prints every setting, its value and where it came from; secrets are masked
    Settings,
    /// Brings the database's tables up to date and ends
    Migrate,
    /// Asks the running service with these settings whether it is alive; exit code 1 when it is not
    Health {
        /// Asks whether it is ready, which it is not while anything it depends on is missing
        #[arg(long)]
        ready: bool,
        /// Asks for some of what it depends on, such as database; several with commas between them
        #[arg(long, value_name = "NAMES", requires = "ready")]
        of: Option<String>,
    },
    /// One of the service's own.
    #[command(flatten)]
    Own(Own),
}

/// For a service that has no commands of its own.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum NoOwnCommand {}

/// A service as its command line knows it.
pub trait Service {
    /// Its name, in its logs, traces and complaints.
    const NAME: &'static str;
    /// What its environment variables begin with.
    const SETTINGS_PREFIX: &'static str;
    /// What can be set.
    type Settings: Default + Serialize + DeserializeOwned + Validate + ProcessSettings;
    /// Its own commands.
    type Command: Subcommand;

    /// Opens and migrates its database.
    ///
    /// # Errors
    /// What hinders it.
    fn migrate(settings: &Self::Settings) -> anyhow::Result<()>;

    /// Executes one of its own commands and returns what to print.
    ///
    /// # Errors
    /// What hinders it.
    fn command(settings: &Self::Settings, command: Self::Command) -> anyhow::Result<String>;

    /// Runs it until a signal stops it.
    ///
    /// # Errors
    /// What hinders its start, or went wrong in its stop.
    fn run(settings: Self::Settings) -> impl Future<Output = anyhow::Result<()>>;
}

/// What is among the settings of every service.
pub trait ProcessSettings {
    /// The older name and the present one of each setting that had another name: under the older one it stops the start.
    const RENAMED: &[(&str, &str)] = &[];

    /// How to log.
    fn log(&self) -> &LogSettings;
    /// Where it listens.
    fn http(&self) -> &HttpSettings;
}

/// Does what the command line says.
pub async fn execute<S: Service>(arguments: CommandLine<S::Command>) -> ExitCode {
    // A health check knows two exit codes only.
    let refused = if matches!(arguments.command, Some(Command::Health { .. })) { 1 } else { 2 };
    let file = arguments.config.as_deref();
    let loaded: Loaded<S::Settings> =
        match settings::load(S::SETTINGS_PREFIX, S::Settings::RENAMED, file, std::env::vars()) {
            Ok(loaded) => loaded,
            Err(SettingsError(problems)) => return refuse(S::NAME, &problems, refused),
        };
    if let Some(Command::Settings) = arguments.command {
        print(&loaded.describe());
    }
    let settings = match loaded.checked() {
        Ok(settings) => settings,
        Err(SettingsError(problems)) => return refuse(S::NAME, &problems, refused),
    };
    let for_machines = arguments.command.is_none() && settings.log().format == "json";
    let mut log = None;
    let ended = run_command::<S>(arguments.command, settings, &mut log).await;
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Once its logs are for machines, so is the reason of its end.
        Err(error) if for_machines && tracing::enabled!(tracing::Level::ERROR) => {
            tracing::error!("the service ends: {error:#}");
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&format!("{}: {error:#}", S::NAME));
            ExitCode::FAILURE
        }
    };
    log.iter().for_each(LogWriter::flush);
    code
}

async fn run_command<S: Service>(
    command: Option<Command<S::Command>>,
    settings: S::Settings,
    log: &mut Option<LogWriter>,
) -> anyhow::Result<()> {
    match command {
        Some(Command::Settings) => {}
        Some(Command::Migrate) => {
            S::migrate(&settings)?;
            print("the database is up to date\n");
        }
        Some(Command::Health { ready, of }) => {
            let question = if ready { Question::Ready(of) } else { Question::Alive };
            print(&format!("{}: {}\n", S::NAME, probe::ask(settings.http(), question)?));
        }
        Some(Command::Own(command)) => print(&S::command(&settings, command)?),
        None => {
            *log = Some(telemetry::start(S::NAME, settings.log())?);
            S::run(settings).await?;
        }
    }
    Ok(())
}

fn refuse(name: &str, problems: &[String], code: u8) -> ExitCode {
    complain(&format!("{name} does not start: its settings have to be put right:"));
    for problem in problems {
        complain(&format!("  {problem}"));
    }
    ExitCode::from(code)
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[allow(clippy::print_stdout, reason = "the answer to a command belongs on standard output")]
fn print(text: &str) {
    print!("{text}");
}

#[allow(clippy::print_stderr, reason = "a command's complaint belongs on standard error")]
fn complain(text: &str) {
    eprintln!("{text}");
}
