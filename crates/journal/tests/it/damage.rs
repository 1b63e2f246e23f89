//! A byte that is not as it was written is found, wherever it is.

use crate::fixture::{append, data, open, settings};
use journal::{Damage, Ending, JournalSettings, segments, verify};

fn damages(directory: &std::path::Path) -> Vec<Damage> {
    let endings = verify(directory).unwrap().into_iter().map(|report| report.ending);
    endings.filter_map(|ending| if let Ending::Damaged(damage) = ending { Some(damage) } else { None }).collect()
}

#[test]
fn each_flipped_bit_of_a_closed_segment_is_found_with_file_line_and_offset() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&settings(directory.path()));
    [0..1, 1..4, 4..6].into_iter().for_each(|group| append(&journal, group));
    drop(journal);
    let path = segments(directory.path()).unwrap().remove(0).path;
    let text = std::fs::read(&path).unwrap();
    for at in 0..text.len() {
        let mut flipped = text.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).unwrap();
        let before = &text[..at];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let offset = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1);
        let [damage] = &damages(directory.path())[..] else { panic!("byte {at} is not found") };
        assert_eq!((&damage.path, damage.line, damage.offset), (&path, line, offset), "byte {at}: {damage}");
    }
}

#[test]
fn a_group_that_is_missing_before_others_is_damage_and_not_a_torn_end() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&settings(directory.path()));
    [0..2, 2..4, 4..6].into_iter().for_each(|group| append(&journal, group));
    let path = segments(directory.path()).unwrap().remove(0).path;
    let mut text = std::fs::read(&path).unwrap();
    // The journal is not closed. The first entry of the second group becomes zeros.
    let ends: Vec<usize> = (0..text.len()).filter(|at| text[*at] == b'\n').collect();
    text[ends[2] + 1..ends[3]].fill(0);
    std::fs::write(&path, &text).unwrap();
    assert_eq!(damages(directory.path())[0].line, 4);
}

#[test]
fn segments_that_lost_their_end_or_another_segment_do_not_continue() {
    let directory = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 2_000, ..settings(directory.path()) };
    // Not closed: its last group could be taken for torn.
    let journal = open(&settings);
    append(&journal, 0..2);
    append(&journal, 2..4);
    let path = segments(directory.path()).unwrap().remove(0).path;
    let open_text = std::fs::read(&path).unwrap();
    drop(journal);
    append(&open(&settings), 4..6);
    // Its last group is missing as if it had been torn.
    std::fs::write(&path, &open_text[..open_text.len() - 300]).unwrap();
    std::fs::remove_file(path.with_extension("")).unwrap();
    let [damage] = &damages(directory.path())[..] else { panic!("the lost end is not found") };
    assert_eq!((damage.line, damage.reason), (1, "the segment does not continue the one before it"));
}

#[test]
fn a_journal_that_is_damaged_goes_on_with_other_numbers_and_the_damage_stays_visible() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&settings(directory.path()));
    [0..2, 2..4, 4..6].into_iter().for_each(|group| append(&journal, group));
    drop(journal);
    let path = segments(directory.path()).unwrap().remove(0).path;
    let mut text = std::fs::read(&path).unwrap();
    let middle = text.len() / 2;
    text[middle] ^= 1;
    std::fs::write(&path, &text).unwrap();
    let journal = open(&settings(directory.path()));
    assert!(journal.position() >= 6, "{}", journal.position());
    append(&journal, 6..7);
    drop(journal);
    assert_eq!(damages(directory.path()).len(), 1);
    assert!(crate::fixture::read(directory.path()).0.ends_with(&data(6..7)));
}
