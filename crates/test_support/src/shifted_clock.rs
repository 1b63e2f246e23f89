//! A wall clock that is wrong: a library, preloaded into a process, shifts what the process reads of it.
//!
//! A process under it behaves as on a machine whose clock is wrong, because only the readings are shifted: the monotonic clock is
//! right, and so is the length of each wait, also of those that end at a time of the wall clock.

use std::path::Path;
use std::process::Command;

/// The environment variables of a process whose wall clock shall be ahead by so many seconds; behind, if the number is negative. The
/// library is built in `directory`, which the process must be able to read.
///
/// # Panics
/// If there is no C compiler. The build of SQLite and librdkafka needs one, too.
pub fn shifted_clock(directory: &Path, seconds: i64) -> [(&'static str, String); 2] {
    let library = directory.join("shifted_clock.so");
    if !library.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shifted_clock.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(built.is_ok_and(|status| status.success()), "the C compiler builds {}", library.display());
    }
    [("LD_PRELOAD", library.display().to_string()), ("SHIFTED_CLOCK_S", seconds.to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn a_process_reads_the_shifted_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let right = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        for shift in [-86_400, 8 * 86_400] {
            let date = Command::new("date").arg("+%s").envs(shifted_clock(directory.path(), shift)).output();
            let printed = String::from_utf8(date.expect("date runs").stdout).expect("digits");
            let read: i64 = printed.trim().parse().expect("seconds");
            let differs = read - i64::try_from(right).expect("small") - shift;
            assert!((0..60).contains(&differs), "{shift}: {differs}");
        }
    }
}
