//! Prints the lines that a process appends to its log, until it ends. The process writes to the file, so it never waits for a
//! reader.

use crate::process::Watch;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

/// The poll interval of the log.
const INTERVAL: Duration = Duration::from_millis(50);

/// The longest line, in bytes; a longer one is printed in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// Follows the file from the byte `from`, on a thread that ends after the last line of the ended process, or when `show` returns
/// `false`.
///
/// # Errors
/// If the file cannot be read or no thread can be started.
pub fn follow(
    path: &Path,
    from: u64,
    process: Watch,
    mut show: impl FnMut(&str) -> bool + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mut log = BufReader::new(File::open(path)?);
    log.seek(SeekFrom::Start(from))?;
    std::thread::Builder::new().name("follows a log".to_owned()).spawn(move || {
        let mut line = Vec::new();
        loop {
            // Checked before the file is read: an ended process has written all its output.
            let ended = process.ended_within(Duration::ZERO);
            loop {
                match read_piece(&mut log, &mut line) {
                    Ok(true) if !show_and_clear(&mut line, &mut show) => return,
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => return,
                }
            }
            if ended {
                if !line.is_empty() {
                    show_and_clear(&mut line, &mut show);
                }
                return;
            }
            process.ended_within(INTERVAL);
        }
    })
}

/// Reads into `line`. Returns whether the line is complete, or too long to wait for its end.
fn read_piece(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let room = (LONGEST_LINE - line.len()) as u64;
    io::Read::take(log, room).read_until(b'\n', line)?;
    Ok(line.ends_with(b"\n") || line.len() == LONGEST_LINE)
}

fn show_and_clear(line: &mut Vec<u8>, show: &mut impl FnMut(&str) -> bool) -> bool {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
    line.clear();
    show(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Output, Process, Program};
    use std::sync::mpsc::channel;

    #[test]
    fn new_lines_are_shown_including_an_unfinished_last_one() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, "before\n").unwrap();
        // The process waits until its first line was seen.
        let go = directory.path().join("go");
        let script = "echo first; until [ -e \"$GO\" ]; do sleep 0.01; done; echo second; printf last";
        let program = Program {
            name: "shell".to_owned(),
            path: "sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: vec![("GO".to_owned(), go.display().to_string())],
            output: Output::AppendedTo(log.clone()),
        };
        let (process, _) = Process::start(&program, || ()).unwrap();
        let (shown, lines) = channel();
        let thread = follow(&log, 7, process.watch(), move |line| shown.send(line.to_owned()).is_ok()).unwrap();
        assert_eq!(lines.recv().unwrap(), "first");
        std::fs::write(go, "").unwrap();
        thread.join().unwrap();
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["second", "last"]);
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces() {
        let text = vec![b'x'; LONGEST_LINE + 10];
        let (mut log, mut line) = (text.as_slice(), Vec::new());
        assert!(read_piece(&mut log, &mut line).unwrap());
        assert_eq!(line.len(), LONGEST_LINE);
        line.clear();
        assert!(!read_piece(&mut log, &mut line).unwrap());
        assert_eq!(line.len(), 10);
    }
}
