//! A program under test as a process, with its output kept.

use crate::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    written: Arc<Written>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Written {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    text: String,
    /// How many of standard output and standard error have ended.
    ended: usize,
}

impl Written {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Starts a program.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let written = Arc::new(Written::default());
        let readers = vec![
            keep(child.stdout.take().expect("piped"), &written),
            keep(child.stderr.take().expect("piped"), &written),
        ];
        Self { child, written, readers }
    }

    /// Waits until it writes the address that it listens on after this text. Returns the host and port.
    ///
    /// # Panics
    /// If it ends first, or does not write it within [`PATIENCE`].
    pub fn address_behind(&self, words: &str) -> String {
        self.wait_for(&format!("'{words}'"), |text| {
            let (_, rest) = text.split_once(words)?;
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
            Some(rest[..end].to_owned())
        })
    }

    /// Waits until `find` returns a value for the output so far, and returns it.
    ///
    /// # Panics
    /// If it ends first, or `find` finds nothing within [`PATIENCE`].
    pub fn wait_for<T>(&self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let mut found = None;
        let waits = |lines: &mut Lines| {
            found = find(&lines.text);
            found.is_none() && lines.ended < 2
        };
        let waited = self.written.more.wait_timeout_while(self.written.lock(), PATIENCE, waits);
        let text = waited.unwrap_or_else(PoisonError::into_inner).0.text.clone();
        found.unwrap_or_else(|| panic!("the output lacks {what}: {text}"))
    }

    /// The output so far.
    pub fn written(&self) -> String {
        self.written.lock().text.clone()
    }

    /// Sends a signal, given by its name without SIG.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} cannot be sent");
    }

    /// Waits until it has ended. Returns its status and its output.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    pub fn ended(mut self) -> (ExitStatus, String) {
        let waits = |lines: &mut Lines| lines.ended < 2;
        let waited = self.written.more.wait_timeout_while(self.written.lock(), PATIENCE, waits);
        let timed_out = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        assert!(!timed_out, "it does not end: {}", self.written());
        let status = self.child.wait().expect("a child can be waited for");
        for reader in self.readers.drain(..) {
            reader.join().expect("no panic");
        }
        (status, self.written())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(from: impl Read + Send + 'static, into: &Arc<Written>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut lines = into.lock();
            lines.text.push_str(&line);
            lines.text.push('\n');
            into.more.notify_all();
        }
        into.lock().ended += 1;
        into.more.notify_all();
    })
}

/// Runs a program to its end. Returns its status, its standard output and its standard error.
///
/// # Panics
/// If it cannot be started, or does not write UTF-8.
pub fn run_to_end(command: &mut Command) -> (Output, String, String) {
    let output = command.output().expect("the program can be started");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}
