//! `test`: starts the servers that tests need, separate from those of a running system, runs `cargo test`, and prints the
//! counts.

use crate::environment::Environment;
use crate::process::{Output, Process, Program};
use crate::runserver::complain;
use crate::servers;
use crate::tally::Tally;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// The directory and ports of the tests' own servers, so that they do not affect a running system.
const OWN_SERVERS: [(&str, &str); 3] =
    [("SERVICES_DIRECTORY", ".local/test"), ("POSTGRES_PORT", "25432"), ("KAFKA_PORT", "29092")];

/// The servers that some tests need, and the variable that names each.
const SERVERS: [(&str, &str); 2] = [("postgres", "TEST_POSTGRES_URL"), ("kafka", "TEST_KAFKA_BROKERS")];

/// The programs that some tests need, and the variable that names each.
const PROGRAMS: [(&str, &str); 2] = [("kcat", "TEST_KCAT"), ("pgbouncer", "TEST_PGBOUNCER")];

/// Concurrent tests per core: most of the time a test waits for a broker or a server.
const TESTS_PER_CORE: usize = 2;

/// How long cargo and the tests may take to end after a signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The number of lines that may wait to be printed; cargo blocks when it is reached.
const MAX_WAITING_LINES: usize = 1_024;

enum Event {
    Line(Vec<u8>),
    /// The output ended.
    End,
    Signal(i32),
}

/// The reason why no tests were run, as a sentence for the user.
#[derive(Debug, thiserror::Error)]
pub enum TestRunError {
    /// In CI every test must run.
    #[error("{0} is not available (see above), and in CI every test must run.")]
    Missing(&'static str),
    /// Cargo could not be started, or signals could not be handled.
    #[error("the tests could not be started: {0}.")]
    Start(#[from] std::io::Error),
}

/// Runs `cargo test` with these arguments, and returns the exit code.
///
/// # Errors
/// [`TestRunError`] if no test was run.
pub fn run(arguments: &[String]) -> Result<u8, TestRunError> {
    let (sender, events) = sync_channel(MAX_WAITING_LINES);
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let from_signals = sender.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        signals.forever().for_each(|signal| drop(from_signals.send(Event::Signal(signal))));
    })?;
    let mut environment = Environment::own();
    let mut started = Vec::new();
    let run = prepare(&mut environment, &mut started, &events)
        .and_then(|stopped| stopped.map_or_else(|| run_cargo(arguments, &environment, sender, &events), Ok));
    started.iter().for_each(|server| servers::stop(server, &environment.added()));
    run
}

/// Starts the servers that tests need, and sets the variables that name them. Returns the exit code if a signal arrived
/// meanwhile.
fn prepare(
    environment: &mut Environment,
    started: &mut Vec<&'static str>,
    events: &Receiver<Event>,
) -> Result<Option<u8>, TestRunError> {
    for (variable, value) in OWN_SERVERS {
        environment.default(variable, value);
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    environment.default("RUST_TEST_THREADS", &(cores * TESTS_PER_CORE).to_string());
    let in_ci = environment.get("CI").is_some();
    for (name, variable) in SERVERS.into_iter().chain(PROGRAMS) {
        if environment.get(variable).is_some() {
            continue;
        }
        let added = environment.added();
        let found = if PROGRAMS.contains(&(name, variable)) {
            servers::install(name).then(|| name.to_owned())
        } else if servers::install(name) && servers::start(name, &added) {
            started.push(name);
            servers::address(name, &added)
        } else {
            None
        };
        if let Ok(Event::Signal(signal)) = events.try_recv() {
            return Ok(Some(exit_code_of(signal)));
        }
        match found {
            Some(found) => drop(environment.default(variable, &found)),
            None if in_ci => return Err(TestRunError::Missing(name)),
            None => complain(&format!("{name} is not available (see above): the tests that need it are skipped.")),
        }
    }
    Ok(None)
}

fn run_cargo(
    arguments: &[String],
    environment: &Environment,
    sender: SyncSender<Event>,
    events: &Receiver<Event>,
) -> Result<u8, TestRunError> {
    let mut all = vec!["test".to_owned()];
    let of_cargo = arguments.iter().take_while(|argument| *argument != "--");
    let has_scope = |argument: &String| {
        argument.starts_with("-p") || argument.starts_with("--package") || argument == "--workspace"
    };
    if !of_cargo.into_iter().any(has_scope) {
        all.push("--workspace".to_owned());
    }
    all.extend_from_slice(arguments);
    let cargo = Program {
        name: "cargo".to_owned(),
        path: "cargo".into(),
        arguments: all,
        environment: environment.added(),
        output: Output::StdoutPiped,
    };
    let (cargo, pipe) = Process::start(&cargo, || ())?;
    if let Some(pipe) = pipe {
        std::thread::Builder::new().name("reads cargo".to_owned()).spawn(move || send_lines(pipe, &sender))?;
    }

    let mut tally = Tally::default();
    let mut out = std::io::stdout();
    while let Ok(event) = events.recv() {
        match event {
            Event::Line(line) => {
                tally.line(String::from_utf8_lossy(&line).trim_end());
                // If the reader of the output is gone, the tests are still run and counted.
                let _ = out.write_all(&line).and_then(|()| out.flush());
            }
            Event::End => break,
            Event::Signal(signal) => {
                cargo.signal(Signal::TERM);
                if cargo.wait(STOP_TIMEOUT).is_none() {
                    cargo.kill();
                }
                return Ok(exit_code_of(signal));
            }
        }
    }
    let status = cargo.wait(STOP_TIMEOUT).and_then(|status| status.code());
    let mut code = status.map_or(1, |code| u8::try_from(code).unwrap_or(1));
    // A filter that matches nothing, `--no-run` and the like may run no test; a plain run must find some.
    if code == 0 && tally.ran_nothing() && (tally.ran_a_program() || arguments.is_empty()) {
        complain("no test ran: see the output of cargo above.");
        code = 1;
    }
    let _ = writeln!(out, "{tally}");
    Ok(code)
}

fn send_lines(pipe: PipeReader, to: &SyncSender<Event>) {
    let mut lines = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        match lines.read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => {
                if to.send(Event::Line(line)).is_err() {
                    return;
                }
            }
            Ok(_) | Err(_) => break,
        }
    }
    let _ = to.send(Event::End);
}

/// The exit code that a shell reports for a command ended by a signal.
fn exit_code_of(signal: i32) -> u8 {
    128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}
