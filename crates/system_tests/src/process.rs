//! One process of the system: started, killed in every way, and its words kept.

use crate::binaries;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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
    child: Option<Child>,
}

impl Process {
    /// A process that is not started yet. Its output is appended to `<directory>/<name>.log`.
    pub fn new(
        directory: &std::path::Path,
        name: &str,
        program: &'static str,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Self {
        let log = directory.join(format!("{name}.log"));
        Self { name: name.to_owned(), program, arguments, environment, log, child: None }
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it runs already or cannot be started.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = || -> File {
            OpenOptions::new().create(true).append(true).open(&self.log).expect("the log file can be written")
        };
        let child = Command::new(binaries::path(self.program))
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("the program can be started");
        self.child = Some(child);
    }

    /// Kills it with SIGKILL: it can do nothing about it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
        }
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    ///
    /// # Panics
    /// When it takes longer than 20 s.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        self.signal(&child, "TERM");
        let until = Instant::now() + STOP_TIMEOUT;
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > until {
                let _ = child.kill();
                panic!("{} did not stop within {STOP_TIMEOUT:?}; its last words:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it where it is (SIGSTOP): it holds its connections and does nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.signal(self.child.as_ref().expect("it runs"), "STOP");
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.signal(self.child.as_ref().expect("it runs"), "CONT");
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

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it goes on.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > until {
                let _ = child.kill();
                panic!("{} went on; its last words:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything it said so far, over all its lives.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines it said.
    pub fn last_words(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Whether it was started and not stopped or killed since.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// The id that the system gave it, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sets a variable of its environment, from its next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn signal(&self, child: &Child, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} cannot be sent SIG{signal}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
