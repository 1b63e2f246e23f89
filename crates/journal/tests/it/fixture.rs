use journal::{Contents, Ending, Entry, Journal, JournalSettings, segments};
use std::convert::Infallible;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

pub fn settings(directory: &Path) -> JournalSettings {
    JournalSettings { directory: directory.to_owned(), segment_bytes: 1 << 20, segment_age: Duration::from_secs(3_600) }
}

pub fn open(settings: &JournalSettings) -> Journal {
    Journal::open(settings, |error| panic!("an append failed: {error}")).unwrap()
}

pub fn entry(number: usize) -> Entry {
    Entry { kind: "test.entry", data: format!(r#"{{"number":{number},"text":"Zahnärzte \"&\" Söhne"}}"#) }
}

/// Appends entries with these numbers, and returns when they are durable.
pub fn append(journal: &Journal, numbers: std::ops::Range<usize>) {
    let (done, waiting) = channel();
    journal.append(numbers.map(entry).collect(), move || done.send(()).unwrap());
    waiting.recv_timeout(Duration::from_secs(30)).expect("it becomes durable");
}

/// The data of all entries of a directory, and how each segment ends.
pub fn read(directory: &Path) -> (Vec<String>, Vec<Ending>) {
    let mut found = Vec::new();
    let endings = segments(directory).unwrap().into_iter().map(|segment| {
        let Ok(ending) = Contents::read(&segment).unwrap().for_each(|entry| {
            found.push(entry.data.to_owned());
            Ok::<(), Infallible>(())
        });
        ending
    });
    let endings = endings.collect();
    (found, endings)
}

pub fn data(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| entry(number).data).collect()
}
