//! The way in: everything is applied, in its order, and an offset is stored only behind what was applied.

use crate::bus::{Broker, Recorder, TOPIC, settings_for};
use dual_db::Error;
use event_bus::{Consumer, IncomingMessage, MIGRATIONS};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use test_support::{TestDatabase, free_address, wait_until};

/// A database that only holds dead letters: where none are made, the kind does not matter.
fn database() -> TestDatabase {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    test
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<(&'static str, String)> {
    const KEYS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    numbers.map(|n| (KEYS[n % KEYS.len()], n.to_string())).collect()
}

fn unavailable() -> Error {
    Error::Unavailable("gone".to_owned())
}

/// Asserts that what was applied of each partition came in its order, and that nothing came twice.
fn assert_in_order(applied: &[IncomingMessage]) {
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    for message in applied {
        let before = last.insert(message.partition, message.offset);
        assert!(before.is_none_or(|before| before < message.offset), "{message:?} came after offset {before:?}");
    }
}

#[test]
fn a_message_comes_with_everything_it_has() {
    let (test, broker, recorder) = (database(), Broker::start(), Recorder::new());
    broker.send([("a key", "a body".to_owned())]);
    broker.send_raw(3, None, None);
    broker.send_raw(3, Some(b"\xff\x00"), Some(b"\x00\xfe"));
    let consumer =
        Consumer::start(&broker.settings("group"), TOPIC, test.database().clone(), recorder.clone()).unwrap();
    recorder.wait_for(3);
    consumer.stop().unwrap();
    let applied = recorder.applied();
    let first = applied.iter().find(|message| message.key.as_deref() == Some(b"a key")).unwrap();
    assert_eq!((first.topic.as_str(), first.offset, first.body.as_slice()), (TOPIC, 0, &b"a body"[..]));
    assert_eq!((first.header("name"), first.header("Name"), first.header("other")), (Some("value"), None, None));
    assert!(first.time_ms > 1_700_000_000_000, "{}", first.time_ms);
    let nothing = applied.iter().find(|message| message.key.is_none()).unwrap();
    assert_eq!((nothing.partition, nothing.body.as_slice(), nothing.headers.as_slice()), (3, &[][..], &[][..]));
    let bytes = applied.iter().find(|message| message.body == b"\x00\xfe").unwrap();
    assert_eq!((bytes.partition, bytes.key.as_deref()), (3, Some(&b"\xff\x00"[..])));
    assert_eq!(format!("{bytes:?}"), format!("{TOPIC}[3]@{} (2 bytes)", bytes.offset), "nothing of what is in it");
}

#[test]
fn what_fails_comes_again_in_its_order_with_what_came_meanwhile() {
    let (test, broker) = (database(), Broker::start());
    let failures = Arc::new(AtomicU32::new(0));
    let largest = Arc::new(AtomicU32::new(0));
    let recorder = Recorder::that({
        let (failures, largest) = (Arc::clone(&failures), Arc::clone(&largest));
        move |batch| {
            largest.fetch_max(u32::try_from(batch.len()).unwrap(), Ordering::SeqCst);
            if failures.fetch_add(1, Ordering::SeqCst) < 6 { Err(unavailable()) } else { Ok(()) }
        }
    });
    let mut settings = broker.settings("group");
    settings.consumer.max_batch_messages = 20;
    settings.consumer.max_retry_pause_ms = 300;
    broker.send(numbered(0..100));
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    let mut sent = 100;
    while failures.load(Ordering::SeqCst) < 6 {
        broker.send(numbered(sent..sent + 10));
        sent += 10;
    }
    broker.send(numbered(sent..sent + 10));
    recorder.wait_for(sent + 10);
    consumer.stop().unwrap();
    let applied = recorder.applied();
    assert_eq!(applied.len(), sent + 10, "each is applied once");
    assert_in_order(&applied);
    let tried = recorder.tried();
    let first = &tried[0];
    assert_eq!(tried.iter().filter(|body| *body == first).count(), 7, "the same was tried until it was applied");
    // What came while nothing could be done stayed with the broker, and not in memory.
    assert!(largest.load(Ordering::SeqCst) <= 20, "a batch of {largest:?}");
}

#[test]
fn an_offset_is_stored_only_behind_what_was_applied() {
    let (test, broker) = (database(), Broker::start());
    let settings = broker.settings("group");
    let start =
        |recorder: &Recorder| Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    broker.send(numbered(0..50));
    let first = Recorder::new();
    let consumer = start(&first);
    first.wait_for(50);
    consumer.stop().unwrap();

    // The second finds nothing of that; what it fails with is not lost for the third.
    broker.send(numbered(50..80));
    let failing = Recorder::that(|_| Err(unavailable()));
    let consumer = start(&failing);
    wait_until("it fails", || failing.tried().len() >= 2);
    consumer.stop().unwrap();
    assert!(failing.applied().is_empty());
    assert!(failing.tried().iter().all(|body| body.parse::<usize>().unwrap() >= 50), "{:?}", failing.tried());

    let third = Recorder::new();
    let consumer = start(&third);
    third.wait_for(30);
    consumer.stop().unwrap();
    let mut bodies: Vec<usize> = third.bodies().iter().map(|body| body.parse().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (50..80).collect::<Vec<_>>());
    assert_in_order(&third.applied());
}

#[test]
fn of_what_fails_in_the_middle_only_the_rest_comes_again() {
    let (test, broker) = (database(), Broker::start());
    let mut settings = broker.settings("group");
    settings.consumer.max_batch_messages = 1;
    // All of one key, and so of one partition.
    broker.send((0..10).map(|n| ("a", n.to_string())));
    let failing = Recorder::that(|batch| if batch[0].body == b"6" { Err(unavailable()) } else { Ok(()) });
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), failing.clone()).unwrap();
    wait_until("it fails at the seventh", || failing.tried().iter().filter(|body| *body == "6").count() >= 3);
    consumer.stop().unwrap();
    assert_eq!(failing.bodies(), ["0", "1", "2", "3", "4", "5"]);
    let next = Recorder::new();
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), next.clone()).unwrap();
    next.wait_for(4);
    consumer.stop().unwrap();
    assert_eq!(next.bodies(), ["6", "7", "8", "9"]);
}

#[test]
fn a_member_that_died_loses_nothing() {
    let (test, broker) = (database(), Broker::start());
    let settings = broker.settings("group");
    broker.send(numbered(0..20));
    // It hangs in its first batch, and so never stores an offset and never leaves: as if it were dead.
    let (release, released) = channel::<()>();
    let hanging = Recorder::that(move |_| {
        let _ = released.recv();
        Err(unavailable())
    });
    let mut impatient = settings.clone();
    impatient.consumer.close_timeout_ms = 100;
    impatient.consumer.max_poll_interval_ms = 2_000;
    let dead = Consumer::start(&impatient, TOPIC, test.database().clone(), hanging.clone()).unwrap();
    wait_until("it hangs", || !hanging.tried().is_empty());
    let began = Instant::now();
    let said = dead.stop().unwrap_err().to_string();
    assert!(said.contains("did not leave its group in time"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30), "whoever stops it is not held up: {:?}", began.elapsed());
    let alive = Recorder::new();
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), alive.clone()).unwrap();
    alive.wait_for(20);
    consumer.stop().unwrap();
    assert_in_order(&alive.applied());
    drop(release);
}

#[test]
fn without_room_nothing_is_handled_and_with_room_everything() {
    let (test, broker, recorder) = (database(), Broker::start(), Recorder::new());
    recorder.set_room(false);
    broker.send(numbered(0..50));
    let consumer =
        Consumer::start(&broker.settings("group"), TOPIC, test.database().clone(), recorder.clone()).unwrap();
    // Longer than the session time-out: it keeps its place in the group by polling.
    recorder.wait_for_questions(30);
    broker.send(numbered(50..100));
    recorder.wait_for_questions(10);
    assert!(recorder.tried().is_empty(), "{:?}", recorder.tried());
    recorder.set_room(true);
    recorder.wait_for(100);
    recorder.set_room(false);
    recorder.wait_for_questions(3);
    broker.send(numbered(100..150));
    recorder.wait_for_questions(10);
    assert_eq!(recorder.tried().len(), 100);
    recorder.set_room(true);
    recorder.wait_for(150);
    consumer.stop().unwrap();
    assert_eq!(recorder.applied().len(), 150);
    assert_in_order(&recorder.applied());
}

#[test]
fn batches_are_bounded() {
    let (test, broker) = (database(), Broker::start());
    let largest = Arc::new(AtomicU32::new(0));
    let recorder = Recorder::that({
        let largest = Arc::clone(&largest);
        move |batch| {
            largest.fetch_max(u32::try_from(batch.len()).unwrap(), Ordering::SeqCst);
            Ok(())
        }
    });
    let mut settings = broker.settings("group");
    settings.consumer.max_batch_messages = 17;
    settings.consumer.batch_linger_ms = 200;
    broker.send(numbered(0..300));
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    recorder.wait_for(300);
    consumer.stop().unwrap();
    assert_eq!(largest.load(Ordering::SeqCst), 17);
    assert_in_order(&recorder.applied());
}

#[test]
fn a_stop_does_not_wait_for_a_long_pause_nor_for_a_kafka_that_is_gone() {
    let test = database();
    let broker = Broker::start();
    let mut settings = broker.settings("group");
    settings.consumer.retry_pause_ms = 60_000;
    settings.consumer.max_retry_pause_ms = 60_000;
    broker.send(numbered(0..5));
    let failing = Recorder::that(|_| Err(unavailable()));
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), failing.clone()).unwrap();
    wait_until("it fails", || !failing.tried().is_empty());
    let began = Instant::now();
    consumer.stop().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());

    let nowhere = settings_for("127.0.0.1:1", "group");
    let consumer = Consumer::start(&nowhere, TOPIC, test.database().clone(), Recorder::new()).unwrap();
    let began = Instant::now();
    consumer.stop().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());

    let recorder = Recorder::new();
    let consumer =
        Consumer::start(&broker.settings("another"), TOPIC, test.database().clone(), recorder.clone()).unwrap();
    recorder.wait_for(5);
    drop(broker);
    let began = Instant::now();
    consumer.stop().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_consumer_waits_for_its_kafka() {
    let (test, recorder) = (database(), Recorder::new());
    let address = free_address().to_string();
    let consumer =
        Consumer::start(&settings_for(&address, "group"), TOPIC, test.database().clone(), recorder.clone()).unwrap();
    recorder.wait_for_questions(3);
    let broker = Broker::start_at(&address);
    broker.send(numbered(0..10));
    recorder.wait_for(10);
    consumer.stop().unwrap();
}

#[test]
fn a_database_that_is_gone_for_long_is_waited_for_and_no_message_is_given_up() {
    let (test, broker) = (database(), Broker::start());
    let down = Arc::new(AtomicBool::new(true));
    let mut turn = 0;
    let recorder = Recorder::that({
        let down = Arc::clone(&down);
        move |_| {
            turn += 1;
            match (down.load(Ordering::SeqCst), turn % 2) {
                (false, _) => Ok(()),
                (true, 0) => Err(Error::Conflict),
                (true, _) => Err(unavailable()),
            }
        }
    });
    let mut settings = broker.settings("group");
    settings.consumer.max_attempts = 2;
    settings.consumer.max_retry_pause_ms = 20;
    broker.send([("a", "1".to_owned())]);
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    wait_until("it was tried often", || recorder.tried().len() > 20);
    down.store(false, Ordering::SeqCst);
    recorder.wait_for(1);
    consumer.stop().unwrap();
    assert_eq!(test.database().read(event_bus::count_dead_letters).unwrap(), 0);
}
