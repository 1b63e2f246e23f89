//! `runserver`: builds the programs and runs the whole system on this machine until Ctrl-C.

use crate::console::{Console, Style};
use crate::environment::Environment;
use crate::local_plan::{Options, Plan, Service};
use crate::run_record::{Entry, RecordError, RunRecord};
use crate::servers;
use crate::supervisor::{Ending, StopWithin, Supervisor, accepts};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DATA: &str = ".local";
const LOGS: &str = ".local/logs";

/// The free space that each log needs at the start, in bytes.
const ROOM_FOR_A_LOG: usize = 16 * 1024;

/// The reason why nothing was started: a sentence with the remedy, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Refused {
    /// The sentence.
    pub sentence: String,
    /// 2 for wrong options or variables, 1 for everything else.
    pub exit_code: u8,
}

fn refused(sentence: String) -> Refused {
    Refused { sentence, exit_code: 1 }
}

/// Builds and runs, and returns the exit code.
///
/// # Errors
/// [`Refused`] if nothing was started.
pub fn run(options: Options, release: bool) -> Result<u8, Refused> {
    let mut plan = Plan::new(options, Environment::own(), &secret()?)
        .map_err(|error| Refused { sentence: error.to_string(), exit_code: 2 })?;
    let (mut record, earlier) = RunRecord::take(Path::new(DATA), "runserver").map_err(|error| {
        refused(match error {
            RecordError::Taken => {
                "runserver is already running in this checkout: stop it there with Ctrl-C, or use another \
                                   checkout."
                    .to_owned()
            }
            RecordError::Io(error) => format!("{DATA} cannot be written ({error}): make room and check who owns it."),
        })
    })?;
    let mut started = settle_earlier(&earlier, &plan)?;
    check_ports(&plan.services)?;
    let binaries = build(release)?;
    prepare_logs(&plan)?;

    let console = Console::new(Style::of_terminal(), "runserver");
    let wanted: Vec<&'static str> = plan.servers().collect();
    for server in &wanted {
        if !servers::install(server) {
            return Err(refused(format!("{server} cannot be set up: fix the errors above, then run this again.")));
        }
        if !servers::runs(server, &[]) {
            started.push((*server).to_owned());
        }
    }
    started.iter().for_each(|server| record.note(Entry::Server(server.clone())));
    let stop_servers = || started.iter().for_each(|server| servers::stop(server, &[]));
    let up = wanted.iter().all(|server| servers::start(server, &[])).then(|| servers::for_services(&wanted)).flatten();
    let Some(addresses) = up else {
        stop_servers();
        record.clear();
        return Err(refused("a server did not start: fix the errors above, then run this again.".to_owned()));
    };
    let members = plan.members(&addresses, &binaries, Path::new(LOGS));
    let supervisor = Supervisor::new(members, plan.limits, console, Some(record))
        .map_err(|error| refused(format!("signals cannot be handled ({error}).")))?;
    let ending = supervisor.run(|console| console.plain(&plan.invitation()), stop_servers);
    Ok(match ending {
        Ending::Signal(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        // As a shell reports a process that wrote into a closed pipe.
        Ending::OutputClosed => 141,
        Ending::GaveUp => 1,
    })
}

/// Checks that the processes of an earlier, killed run have ended. Its servers are stopped at the end of this run.
fn settle_earlier(earlier: &[Entry], plan: &Plan) -> Result<Vec<String>, Refused> {
    let (StopWithin::Each(patience) | StopWithin::All(patience)) = plan.limits.stop;
    let until = Instant::now() + patience.max(Duration::from_secs(1));
    // The kernel sent them SIGTERM when that run was killed.
    while earlier.iter().any(Entry::is_running) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let left: Vec<String> = earlier
        .iter()
        .filter(|entry| entry.is_running())
        .filter_map(|entry| match entry {
            Entry::Process { name, id, .. } => Some(format!("{name} (process {id}; 'kill -KILL {id}' ends it)")),
            Entry::Server(_) => None,
        })
        .collect();
    if !left.is_empty() {
        return Err(refused(format!(
            "processes of an earlier run are still running: {}. Stop them, then run this again.",
            left.join(", ")
        )));
    }
    Ok(earlier
        .iter()
        .filter_map(|entry| match entry {
            Entry::Server(name) if servers::runs(name, &[]) => Some(name.clone()),
            Entry::Server(_) | Entry::Process { .. } => None,
        })
        .collect())
}

fn check_ports(services: &[Service]) -> Result<(), Refused> {
    let taken: Vec<String> = services
        .iter()
        .filter(|service| accepts(&service.address))
        .map(|Service { name, program, address, moved_by }| {
            format!(
                "{address} is taken, and {name} needs it: stop what listens there, or set {moved_by} to move {program}."
            )
        })
        .collect();
    if taken.is_empty() { Ok(()) } else { Err(refused(taken.join("\n"))) }
}

/// Builds all programs and returns their directory.
fn build(release: bool) -> Result<PathBuf, Refused> {
    let profile = if release { "release" } else { "dev" };
    // Cargo ends with this process, also if the build is interrupted.
    let built = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "cargo", "build", "--workspace", "--bins", "--profile", profile])
        .stdin(Stdio::null())
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => {
            let sentence = "the programs cannot be built: fix the errors above, then run this again.";
            return Err(refused(sentence.to_owned()));
        }
        Err(error) => return Err(refused(format!("setpriv (package util-linux) cannot be run: {error}."))),
    }
    let own =
        std::env::current_exe().map_err(|error| refused(format!("this program's own path is unknown: {error}.")))?;
    // …/target/debug/launcher
    let target = own.ancestors().nth(2).unwrap_or(Path::new("target"));
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// Empties the logs of an earlier run, and checks the free space for new ones: a program that cannot log cannot report its
/// errors.
fn prepare_logs(plan: &Plan) -> Result<(), Refused> {
    let prepare = |service: &Service| {
        let mut log = std::fs::File::create(plan.log(Path::new(LOGS), service))?;
        log.write_all(&[b' '; ROOM_FOR_A_LOG])?;
        log.sync_all()?;
        log.set_len(0)
    };
    std::fs::create_dir_all(LOGS)
        .and_then(|()| plan.services.iter().try_for_each(prepare))
        .map_err(|error| refused(format!("{LOGS} cannot be written ({error}): make room and check who owns it.")))
}

/// A random secret for one run.
fn secret() -> Result<String, Refused> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| refused(format!("/dev/urandom cannot be read: {error}.")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An error for the user.
pub fn report(refusal: &Refused) {
    refusal.sentence.lines().for_each(complain);
}

/// Prints a sentence for the user of the script that started this program.
pub fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "develop_local.sh: {sentence}");
}
