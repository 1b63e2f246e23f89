//! One process of the system: started by the launcher's means, killed in every way, and its output kept.

use crate::binaries;
use launcher::process::{Output, Program};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a process may take to stop when it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A process that can be started again with the same arguments and settings.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    running: Option<launcher::process::Process>,
}

impl Process {
    /// A process that is not started yet. Its output is appended to `<directory>/<name>.log`.
    pub fn new(
        directory: &Path,
        name: &str,
        program: &'static str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Self {
        let log = directory.join(format!("{name}.log"));
        Self { name: name.to_owned(), program, arguments, environment, log, running: None }
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it runs already or cannot be started.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let program = Program {
            name: self.name.clone(),
            path: binaries::path(self.program),
            arguments: self.arguments.clone(),
            environment: self.environment.clone(),
            output: Output::AppendedTo(self.log.clone()),
        };
        let (process, _) = launcher::process::Process::start(&program, || ()).expect("the program can be started");
        self.running = Some(process);
    }

    /// Kills it with SIGKILL: it can do nothing about it.
    pub fn kill(&mut self) {
        if let Some(process) = self.running.take() {
            process.kill().expect("a child can be killed");
        }
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    ///
    /// # Panics
    /// When it takes longer than 20 s.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(STOP_TIMEOUT)
    }

    /// Stops it where it is (SIGSTOP): it holds its connections and does nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs the program with these arguments instead of its own, to its end, and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn command(&self, arguments: &[&str]) -> String {
        let done = Command::new(binaries::path(self.program))
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .expect("the program can be started");
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{} {arguments:?}: {}", self.name, String::from_utf8_lossy(&done.stderr));
        printed
    }

    /// Waits for it to end.
    ///
    /// # Panics
    /// When it does not run, or goes on.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let process = self.running.take().expect("it runs");
        process.wait(timeout).unwrap_or_else(|| {
            panic!("{} did not end within {timeout:?}; its last lines:\n{}", self.name, self.last_words())
        })
    }

    /// Everything it printed so far, over all its starts.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines it printed.
    pub fn last_words(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Whether it was started and not stopped or killed since.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The id that the system gave it, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(launcher::process::Process::id)
    }

    /// Sets a variable of its environment, from its next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn signal(&self, signal: Signal) {
        self.running.as_ref().expect("it runs").signal(signal);
    }
}
