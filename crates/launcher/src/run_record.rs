//! The record of a run on disk: a lock, which the system releases when its holder ends, and the started processes and servers.
//! With it the next run finds what a killed run left behind.

use crate::process::Process;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The record of a run, which holds the lock of its checkout.
#[derive(Debug)]
pub struct RunRecord {
    _lock: File,
    path: PathBuf,
    entries: Vec<Entry>,
}

/// A started process or server, which may still run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A process. Its start time distinguishes it from a later process with the same id.
    Process {
        /// The name of the process.
        name: String,
        /// The process id.
        id: u32,
        /// The start time, in ticks since boot.
        began: u64,
    },
    /// A server of `scripts/services.sh` that this run started.
    Server(String),
}

/// The reason why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Another run holds the lock.
    #[error("another run holds the lock")]
    Taken,
    /// The directory cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl RunRecord {
    /// Takes the lock in `directory`, creating the directory if needed. Returns the record, and the entries left by an earlier
    /// run that was killed.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn take(directory: &Path, name: &str) -> Result<(Self, Vec<Entry>), RecordError> {
        std::fs::create_dir_all(directory)?;
        let lock = File::create(directory.join(format!("{name}.lock")))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RecordError::Taken,
            TryLockError::Error(error) => error.into(),
        })?;
        let path = directory.join(format!("{name}.started"));
        let earlier = std::fs::read_to_string(&path).unwrap_or_default();
        let earlier: Vec<Entry> = earlier.lines().filter_map(Entry::parse).collect();
        Ok((Self { _lock: lock, path, entries: Vec::new() }, earlier))
    }

    /// Notes a started process, replacing an earlier one with the same name.
    pub fn started(&mut self, process: &Process) {
        let Some(began) = began(process.id()) else { return };
        self.entries.retain(|entry| !matches!(entry, Entry::Process { name, .. } if name.as_str() == process.name()));
        self.note(Entry::Process { name: process.name().to_owned(), id: process.id(), began });
    }

    /// Writes the entries.
    pub fn note(&mut self, entry: Entry) {
        self.entries.push(entry);
        let text: String = self.entries.iter().map(|entry| entry.line() + "\n").collect();
        // The run continues without the file. Only if it is killed, the user has to find its processes.
        let _ = std::fs::write(&self.path, text);
    }

    /// Clears the record, because everything is stopped.
    pub fn clear(&mut self) {
        self.entries.clear();
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Self::Process { name, id, began } => format!("process {name} {id} {began}"),
            Self::Server(name) => format!("server {name}"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["process", name, id, began] => {
                Some(Self::Process { name: name.to_owned(), id: id.parse().ok()?, began: began.parse().ok()? })
            }
            ["server", name] => Some(Self::Server(name.to_owned())),
            _ => None,
        }
    }

    /// Whether the entry is a process that is still running.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Process { id, began: then, .. } if began(*id) == Some(*then))
    }
}

/// The start time of a process that is not a zombie, in ticks since boot (`proc_pid_stat(5)`, field 22).
fn began(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the state is the field after it.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Output, Program};

    #[test]
    fn a_killed_run_leaves_its_record_and_only_live_processes_are_running() {
        let directory = tempfile::tempdir().unwrap();
        let (mut first, earlier) = RunRecord::take(directory.path(), "run").unwrap();
        assert_eq!(earlier, []);
        let program = Program {
            name: "sleeper".to_owned(),
            path: "sleep".into(),
            arguments: vec!["1000".to_owned()],
            environment: vec![],
            output: Output::Inherited,
        };
        let (process, _) = Process::start(&program, || ()).unwrap();
        first.started(&process);
        first.note(Entry::Server("kafka".to_owned()));
        assert!(matches!(RunRecord::take(directory.path(), "run"), Err(RecordError::Taken)));
        // As after a kill: the record is not cleared.
        drop(first);

        let (_second, earlier) = RunRecord::take(directory.path(), "run").unwrap();
        assert_eq!(earlier[1], Entry::Server("kafka".to_owned()));
        assert!(matches!(&earlier[0], Entry::Process { name, id, .. } if name == "sleeper" && *id == process.id()));
        assert!(earlier[0].is_running());
        process.kill();
        assert!(!earlier[0].is_running());
    }

    #[test]
    fn a_later_process_with_the_same_id_is_another_one() {
        let id = std::process::id();
        let own = Entry::Process { name: "x".to_owned(), id, began: began(id).unwrap() };
        assert!(own.is_running());
        let older = Entry::Process { name: "x".to_owned(), id, began: began(id).unwrap() - 1 };
        assert!(!older.is_running());
    }
}
