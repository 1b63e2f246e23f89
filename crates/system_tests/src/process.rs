//! One process of the system: started through the launcher's `Process`, stopped, killed or frozen, with its output kept.

use crate::binaries;
use launcher::process::{Output, Program};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a process may take to stop after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A process that can be started repeatedly with the same arguments and settings.
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
    /// A process that is not yet started. Its output is appended to `<directory>/<name>.log`.
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

    /// Starts the process.
    ///
    /// # Panics
    /// If it is already running or cannot be started.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} is already running", self.name);
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

    /// Kills the process with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(process) = self.running.take() {
            process.kill().expect("a child can be killed");
        }
    }

    /// Stops the process with SIGTERM and waits for its end.
    ///
    /// # Panics
    /// If it takes longer than 20 s.
    pub fn stop(&mut self) -> ExitStatus {
        self.stop_within(STOP_TIMEOUT)
    }

    /// Stops the process with SIGTERM and waits for its end.
    ///
    /// # Panics
    /// If it takes longer.
    pub fn stop_within(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Freezes the process with SIGSTOP; its connections stay open.
    ///
    /// # Panics
    /// If it is not running.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a frozen process with SIGCONT.
    ///
    /// # Panics
    /// If it is not running.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs the program with other arguments to its end, and returns its standard output.
    ///
    /// # Panics
    /// If it fails.
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

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// If it is not running, or does not end in time.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let process = self.running.take().expect("it runs");
        process.wait(timeout).unwrap_or_else(|| {
            panic!("{} did not end within {timeout:?}; its last lines:\n{}", self.name, self.last_lines())
        })
    }

    /// The output of all its runs.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its output.
    pub fn last_lines(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Whether it was started, and not stopped or killed since.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The process id, while it is running.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(launcher::process::Process::id)
    }

    /// Sets an environment variable from the next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// The name of the process.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn signal(&self, signal: Signal) {
        self.running.as_ref().expect("it runs").signal(signal);
    }
}
