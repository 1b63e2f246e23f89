//! A PostgreSQL server of one test, which it can freeze, or start on a disk or under a clock of its own: other tests use the shared
//! one at the same time.

use crate::proc;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use test_support::kafka::services_with;
use test_support::{free_address, shifted_clock};

/// A server. Dropping it stops it.
#[derive(Debug)]
pub struct OwnPostgres {
    port: String,
    directory: PathBuf,
    /// By how many seconds its host's clock is ahead.
    clock_ahead_s: i64,
    /// Its directory, if it is deleted with it.
    _temporary: Option<TempDir>,
}

impl OwnPostgres {
    /// Starts an empty server.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory can be made");
        // The server runs as another user if this one is root.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(temporary.path(), open).expect("the owner may set permissions");
        Self::start_at(temporary.path().to_owned(), Some(temporary))
    }

    /// Starts an empty server with its data in this directory, which every user may enter.
    ///
    /// # Panics
    /// As [`OwnPostgres::start`].
    pub fn start_in(directory: &Path) -> Self {
        Self::start_at(directory.to_owned(), None)
    }

    fn start_at(directory: PathBuf, temporary: Option<TempDir>) -> Self {
        let port = free_address().port().to_string();
        let server = Self { port, directory, clock_ahead_s: 0, _temporary: temporary };
        server.start_again();
        server
    }

    /// Starts the server if it does not run, as a supervisor does.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        if !self.is_running() {
            let clock = shifted_clock(&self.directory, self.clock_ahead_s);
            let clock = clock.each_ref().map(|(name, value)| (*name, value.as_str()));
            self.services_with(&clock, &["start", "postgres"]);
        }
    }

    /// Crashes the server and starts it under another clock.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart_under_clock(&mut self, ahead_s: i64) {
        self.services(&["stop", "postgres", "at-once"]);
        self.clock_ahead_s = ahead_s;
        self.start_again();
    }

    fn is_running(&self) -> bool {
        self.first_process().is_some_and(|process| test_kill_process(process).is_ok())
    }

    /// The URL of a database, which is created if it is missing.
    pub fn url(&self, database: &str) -> String {
        self.services(&["env", "postgres", database])
    }

    /// Freezes every process of the server with SIGSTOP. Connections stay open, and new ones are accepted by the kernel.
    ///
    /// # Panics
    /// If the server does not run.
    pub fn freeze(&self) {
        // The first process starts the others, so it is stopped first.
        let first = self.first_process().expect("the server runs");
        send(first, Signal::STOP);
        children(first).for_each(|child| send(child, Signal::STOP));
    }

    /// Continues a frozen server.
    pub fn thaw(&self) {
        if let Some(first) = self.first_process() {
            children(first).for_each(|child| send(child, Signal::CONT));
            send(first, Signal::CONT);
        }
    }

    /// The process that started the others, by the first line of the server's own file.
    fn first_process(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.directory.join("postgres/data/postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    fn services(&self, arguments: &[&str]) -> String {
        self.services_with(&[], arguments)
    }

    fn services_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> String {
        let directory = self.directory.display().to_string();
        let own = [("SERVICES_DIRECTORY", directory.as_str()), ("POSTGRES_PORT", &self.port)];
        services_with(&[environment, &own].concat(), arguments)
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        if self.is_running() {
            self.thaw();
            self.services(&["stop", "postgres", "at-once"]);
        }
    }
}

/// A process may have ended meanwhile.
fn send(process: Pid, signal: Signal) {
    let _ = kill_process(process, signal);
}

fn children(of: Pid) -> impl Iterator<Item = Pid> {
    let ids = proc::children(of.as_raw_nonzero().get().unsigned_abs());
    ids.into_iter().filter_map(|id| Pid::from_raw(id.cast_signed()))
}
