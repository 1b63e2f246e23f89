//! A disk that a test can fill.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A file system of its own, in memory. Dropping it unmounts it.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of so many megabytes.
    ///
    /// # Panics
    /// If it cannot be mounted. Write a test that calls this in [`with_small_disks!`](crate::with_small_disks).
    pub fn mount(megabytes: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "this user may mount a file system");
        // A server may run as another user.
        let everyone = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(directory.path(), everyone).expect("the owner may set permissions");
        Self(directory)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room on it.
    ///
    /// # Panics
    /// If something else than the lack of room stops that.
    pub fn fill(&self) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.filler()).expect("a file");
        for size in [1 << 16, 1] {
            loop {
                match file.write_all(&vec![1; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the disk cannot be filled: {error}"),
                }
            }
        }
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// If it was not filled.
    pub fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what still has a file open there may end later.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
