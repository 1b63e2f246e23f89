//! One child process: started, signalled, waited for without polling, and never signalled after it was reaped.
//!
//! Each child leads its own process group, so a terminal's Ctrl-C reaches only the parent, which stops the children in order. The
//! kernel sends the child SIGTERM when the thread that started it ends (`setpriv --pdeathsig`), so a killed parent leaves no child
//! that handles SIGTERM. Start children from a thread that lives as long as they should.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::fs::OpenOptions;
use std::io::{self, PipeReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A program and how to run it.
#[derive(Debug, Clone)]
pub struct Program {
    /// The name in messages.
    pub name: String,
    /// The executable: a path, or a name that is looked up in `PATH`.
    pub path: PathBuf,
    /// The arguments.
    pub arguments: Vec<String>,
    /// Environment variables to set, in addition to the inherited ones.
    pub environment: Vec<(String, String)>,
    /// The destination of standard output and standard error.
    pub output: Output,
}

/// The destination of a program's standard output and standard error.
#[derive(Debug, Clone)]
pub enum Output {
    /// The parent's own.
    Inherited,
    /// One pipe for both, which [`Process::start`] returns.
    Piped,
    /// A pipe for standard output, which [`Process::start`] returns; the parent's standard error.
    StdoutPiped,
    /// Appended to this file, which is created if it is missing.
    AppendedTo(PathBuf),
}

/// A started child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    end: Arc<End>,
}

/// Observes the end of a [`Process`] from another thread.
#[derive(Debug, Clone)]
pub struct Watch {
    end: Arc<End>,
}

impl Watch {
    /// Waits at most this long, and returns whether the process has ended.
    pub fn ended_within(&self, timeout: Duration) -> bool {
        self.end.wait(timeout).is_some()
    }
}

/// How the child ended. Holding the lock while it is unset keeps the child from being reaped, and its id from reuse.
#[derive(Debug, Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    came: Condvar,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let waited = self.came.wait_timeout_while(self.lock(), timeout, |status| status.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Process {
    /// Starts a program with an empty standard input. `on_end` is called on another thread when it has ended. Returns a pipe for
    /// [`Output::Piped`] and [`Output::StdoutPiped`].
    ///
    /// # Errors
    /// If the program, `setpriv` (package util-linux) or the log file cannot be opened.
    pub fn start(program: &Program, on_end: impl FnOnce() + Send + 'static) -> io::Result<(Self, Option<PipeReader>)> {
        if program.path.components().count() > 1 && !program.path.is_file() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", program.path.display())));
        }
        let (output, errors, pipe) = open(&program.output)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(&program.path)
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("setpriv, of the package util-linux: {error}")))?;
        let pid = Pid::from_child(&child);
        let end = Arc::new(End::default());
        let waiting = Arc::clone(&end);
        std::thread::Builder::new().name(format!("waits for {}", program.name)).spawn(move || {
            reap(child, pid, &waiting);
            on_end();
        })?;
        Ok((Self { name: program.name.clone(), pid, end }, pipe))
    }

    /// The name of the process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The exit status, once it has ended.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.end.lock()
    }

    /// Sends a signal. No other process can get it, even if this one has just ended.
    pub fn signal(&self, signal: Signal) {
        let status = self.end.lock();
        if status.is_none() {
            // A zombie accepts any signal.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Waits at most this long for its end. Returns `None` if it has not ended.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        self.end.wait(timeout)
    }

    /// An observer of its end, which neither keeps it alive nor kills it.
    pub fn watch(&self) -> Watch {
        Watch { end: Arc::clone(&self.end) }
    }

    /// Sends SIGKILL and waits until the kernel has ended it. A process blocked on a broken disk may outlive that.
    pub fn kill(&self) -> Option<ExitStatus> {
        self.signal(Signal::KILL);
        self.wait(KILL_TIMEOUT)
    }
}

/// How long the kernel may take to end a process after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The standard output and standard error of a child, and the pipe to read from.
fn open(output: &Output) -> io::Result<(Stdio, Stdio, Option<PipeReader>)> {
    Ok(match output {
        Output::Inherited => (Stdio::inherit(), Stdio::inherit(), None),
        Output::Piped => {
            let (reader, writer) = io::pipe()?;
            (writer.try_clone()?.into(), writer.into(), Some(reader))
        }
        Output::StdoutPiped => {
            let (reader, writer) = io::pipe()?;
            (writer.into(), Stdio::inherit(), Some(reader))
        }
        Output::AppendedTo(path) => {
            let log = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                io::Error::new(error.kind(), format!("the log {} cannot be written: {error}", path.display()))
            })?;
            (log.try_clone()?.into(), log.into(), None)
        }
    })
}

/// Waits until the child has ended, kills the rest of its process group, and reaps it.
fn reap(mut child: Child, pid: Pid, end: &End) {
    // Waits without reaping: until the lock is held, the id must not be reused.
    let ended = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while ended().is_err_and(|error| error == rustix::io::Errno::INTR) {}
    let mut status = end.lock();
    let _ = kill_process_group(pid, Signal::KILL);
    *status = child.wait().ok();
    drop(status);
    end.came.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::sync::mpsc::channel;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn shell(script: &str, output: Output) -> Program {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Program { name: "shell".to_owned(), path: "sh".into(), arguments, environment: vec![], output }
    }

    #[test]
    fn the_end_is_reported_with_its_status() {
        let (ended, end) = channel();
        let (process, _) =
            Process::start(&shell("exit 7", Output::Inherited), move || ended.send(()).expect("awaited")).unwrap();
        end.recv_timeout(PATIENCE).unwrap();
        assert_eq!(process.status().unwrap().code(), Some(7));
        process.signal(Signal::KILL);
        assert_eq!(process.wait(Duration::ZERO).unwrap().code(), Some(7), "a signal after the end changes nothing");
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed_with_its_children() {
        let script = "trap '' TERM; echo $$; sleep 1000 & echo $!; wait";
        let (process, pipe) = Process::start(&shell(script, Output::Piped), || ()).unwrap();
        let mut pipe = pipe.unwrap();
        let mut said = String::new();
        while said.lines().count() < 2 || !said.ends_with('\n') {
            let mut byte = [0];
            assert_eq!(pipe.read(&mut byte).unwrap(), 1);
            said.push(char::from(byte[0]));
        }
        process.signal(Signal::TERM);
        assert_eq!(process.wait(Duration::from_millis(50)), None);
        assert_eq!(process.kill().unwrap().signal(), Some(9));
        // The pipe ends when its last writer has ended.
        pipe.read_to_string(&mut said).unwrap();
    }

    #[test]
    fn output_is_appended_and_variables_are_set() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        for value in ["1", "2"] {
            let mut program = shell("echo $WHICH; echo to stderr >&2", Output::AppendedTo(log.clone()));
            program.environment.push(("WHICH".to_owned(), value.to_owned()));
            let (process, _) = Process::start(&program, || ()).unwrap();
            process.wait(PATIENCE).unwrap();
        }
        assert_eq!(std::fs::read_to_string(log).unwrap(), "1\nto stderr\n2\nto stderr\n");
    }

    #[test]
    fn the_program_that_cannot_be_started_is_named() {
        let missing = Program { path: "/nowhere/at/all".into(), ..shell("", Output::Inherited) };
        let error = Process::start(&missing, || ()).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
        let unwritable = shell("", Output::AppendedTo("/nowhere/log".into()));
        let error = Process::start(&unwritable, || ()).unwrap_err().to_string();
        assert!(error.contains("/nowhere/log"), "{error}");
    }
}
