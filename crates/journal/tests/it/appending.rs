use crate::fixture::{append, data, open, read, settings};
use journal::{Ending, Journal, JournalSettings, OpenError, segments, verify};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::channel;
use std::time::Duration;
use test_support::wait_until;

#[test]
fn what_is_appended_is_read_back_in_order_over_segments_and_starts() {
    let directory = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 4_096, ..settings(directory.path()) };
    let mut next = 0;
    let mut writer = None;
    for _ in 0..3 {
        let journal = open(&settings);
        assert_eq!(journal.position(), next as u64);
        assert_eq!(writer.get_or_insert(journal.writer().to_owned()), journal.writer());
        for count in [1, 7, 30, 2] {
            append(&journal, next..next + count);
            next += count;
            assert_eq!(journal.position(), next as u64);
        }
    }
    let (found, endings) = read(directory.path());
    assert_eq!(found, data(0..next));
    assert!(endings.len() > 6 && endings.iter().all(|ending| *ending == Ending::Closed), "{endings:?}");
    let reports = verify(directory.path()).unwrap();
    assert!(reports.iter().all(|report| report.ending == Ending::Closed));
    assert_eq!(reports.iter().map(|report| report.entries).sum::<u64>(), next as u64);
    assert!(reports.windows(2).all(|pair| pair[0].last() + 1 == pair[1].first));
}

#[test]
fn batches_of_many_threads_are_all_appended_and_reported_once() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&settings(directory.path()));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let journal = &journal;
            scope.spawn(move || (0..25).for_each(|n| append(journal, thread * 100 + n..thread * 100 + n + 1)));
        }
    });
    drop(journal);
    let (mut found, _) = read(directory.path());
    found.sort();
    let mut expected: Vec<_> = (0..8).flat_map(|thread| data(thread * 100..thread * 100 + 25)).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn only_the_owner_reads_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let journal = open(&settings(&path));
    append(&journal, 0..1);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn a_second_process_is_refused_while_the_first_runs() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let first = open(&settings);
    let second = Journal::open(&settings, |_| {});
    assert!(matches!(second, Err(OpenError::InUse(path)) if path == directory.path()));
    drop(first);
    open(&settings);
}

#[test]
fn a_segment_is_closed_when_it_is_old() {
    let directory = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_age: Duration::from_millis(20), ..settings(directory.path()) };
    let journal = open(&settings);
    append(&journal, 0..3);
    wait_until("the segment is closed", || read(directory.path()).1 == [Ending::Closed]);
    append(&journal, 3..4);
    assert_eq!(read(directory.path()).0, data(0..4));
    assert_eq!(segments(directory.path()).unwrap().len(), 2);
}

#[test]
fn a_disk_without_room_for_a_segment_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(&JournalSettings { segment_bytes: 1 << 55, ..settings(directory.path()) });
    assert!(!journal.has_room());
    drop(journal);
    assert!(open(&settings(directory.path())).has_room());
}

#[test]
fn an_append_that_fails_is_reported_as_such_and_never_as_durable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let (failed, failure) = channel();
    let journal = Journal::open(&settings(&path), move |error| failed.send(error.kind()).unwrap()).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    for _ in 0..3 {
        journal.append(vec![crate::fixture::entry(1)], || panic!("it is not durable"));
    }
    assert_eq!(failure.recv_timeout(Duration::from_secs(30)).unwrap(), std::io::ErrorKind::NotFound);
    wait_until("there is no room", || !journal.has_room());
    assert_eq!(journal.position(), 0);
}
