//! A PostgreSQL server of one test, which it can freeze: other tests use the shared one at the same time.

use crate::proc;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use test_support::free_address;
use test_support::kafka::services_with;

/// A running server. Dropping it stops it and deletes its data.
#[derive(Debug)]
pub struct OwnPostgres {
    port: String,
    directory: TempDir,
}

impl OwnPostgres {
    /// Starts an empty server.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        // The server runs as another user if this one is root.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).expect("the owner may set permissions");
        let server = Self { port: free_address().port().to_string(), directory };
        server.services(&["start", "postgres"]);
        server
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
        let text = std::fs::read_to_string(self.directory.path().join("postgres/data/postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    fn services(&self, arguments: &[&str]) -> String {
        let directory = self.directory.path().display().to_string();
        services_with(&[("SERVICES_DIRECTORY", &directory), ("POSTGRES_PORT", &self.port)], arguments)
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        self.thaw();
        self.services(&["stop", "postgres", "at-once"]);
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
