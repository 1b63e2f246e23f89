//! A power loss: of what was written since the last time the file was made durable, any bytes are on the disk.

use crate::fixture::{append, data, open, read, settings};
use journal::{Ending, segments, verify};
use std::path::Path;

/// A journal of one segment with these groups, not closed; its text, and its length after each group.
fn written(directory: &Path, groups: &[usize]) -> (String, Vec<u8>, Vec<usize>) {
    let source = directory.join("source");
    let journal = open(&settings(&source));
    let (mut next, mut lengths) = (0, Vec::new());
    for count in groups {
        append(&journal, next..next + count);
        next += count;
        let segment = &segments(&source).unwrap()[0];
        lengths.push(segment.path.metadata().unwrap().len() as usize);
    }
    let segment = &segments(&source).unwrap()[0];
    let text = std::fs::read(&segment.path).unwrap();
    (segment.path.file_name().unwrap().to_str().unwrap().to_owned(), text, lengths)
}

/// Puts a segment with this text into a directory of its own, with the writer's name, as a crash leaves it.
fn crashed(directory: &Path, name: &str, text: &[u8]) -> std::path::PathBuf {
    let target = directory.join("crashed");
    let _ = std::fs::remove_dir_all(&target);
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("writer"), name.split('-').next().unwrap()).unwrap();
    std::fs::write(target.join(name), text).unwrap();
    target
}

#[test]
fn whatever_byte_the_file_ends_at_every_whole_group_is_read_and_the_journal_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let groups = [1, 3, 2, 5];
    let (name, text, lengths) = written(directory.path(), &groups);
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in 0..=text.len() {
        // As it is, and with the zeros of blocks that were reserved and not written.
        for zeros in [0, 100] {
            let mut left = text[..cut].to_vec();
            left.resize(cut + zeros, 0);
            let crashed = crashed(directory.path(), &name, &left);
            let whole = lengths.iter().filter(|length| **length <= cut).count();
            let entries = groups[..whole].iter().sum();
            let (found, endings) = read(&crashed);
            assert_eq!(found, data(0..entries), "cut at {cut}");
            let is_torn = matches!(endings[..], [Ending::Torn(_)]);
            let is_whole = lengths.contains(&cut) || cut == header;
            assert_eq!(is_torn, zeros > 0 || !is_whole, "cut at {cut}: {endings:?}");
            // Opening is slow: only where something changes, and at some other bytes.
            if zeros == 0 && (cut % 97 == 0 || lengths.iter().any(|length| cut.abs_diff(*length) <= 1)) {
                let journal = open(&settings(&crashed));
                assert_eq!(journal.position(), entries as u64, "cut at {cut}");
                append(&journal, entries..entries + 4);
                drop(journal);
                assert_eq!(read(&crashed).0, data(0..entries + 4), "cut at {cut}");
                let damaged =
                    verify(&crashed).unwrap().into_iter().find(|report| matches!(report.ending, Ending::Damaged(_)));
                assert!(damaged.is_none(), "cut at {cut}: {damaged:?}");
            }
        }
    }
}

#[test]
fn whatever_block_of_the_last_group_is_missing_the_groups_before_it_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let (name, text, lengths) = written(directory.path(), &[2, 4, 8]);
    for from in lengths[1]..text.len() {
        for length in [1, 64, 512] {
            let mut left = text.clone();
            let to = (from + length).min(left.len());
            left[from..to].fill(0);
            let (found, endings) = read(&crashed(directory.path(), &name, &left));
            assert_eq!(found, data(0..6), "{length} from {from}");
            assert!(matches!(endings[..], [Ending::Torn(_)]), "{length} from {from}: {endings:?}");
        }
    }
}
