//! Several members of one group share the partitions, and no message is lost when a member joins or leaves.

use crate::bus::{Broker, Recorder, TOPIC};
use event_bus::{Consumer, MIGRATIONS};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use test_support::{PATIENCE, TestDatabase, wait_until};

/// Produces increasing numbers until it is stopped.
struct Traffic {
    broker: Arc<Broker>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Traffic {
    fn start(broker: &Arc<Broker>) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = std::thread::spawn({
            let (broker, stop, sent) = (Arc::clone(broker), Arc::clone(&stop), Arc::clone(&sent));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    let first = sent.load(Ordering::SeqCst);
                    let keys: Vec<String> = (first..first + 24).map(|n| format!("key {}", n % 100)).collect();
                    broker.send(keys.iter().zip(first..).map(|(key, n)| (key.as_str(), n.to_string())));
                    sent.store(first + 24, Ordering::SeqCst);
                    // Limits the load, so that the consumers keep up with it on a busy machine.
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
        });
        Self { broker: Arc::clone(broker), stop, sent, thread }
    }

    /// Stops it, and returns how many numbers it has produced.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("no panic");
        drop(self.broker);
        self.sent.load(Ordering::SeqCst)
    }
}

fn numbers(recorders: &[&Recorder]) -> BTreeSet<usize> {
    recorders.iter().flat_map(|recorder| recorder.bodies()).map(|body| body.parse().unwrap()).collect()
}

fn partitions(recorder: &Recorder, since: usize) -> BTreeSet<i32> {
    recorder.applied()[since..].iter().map(|message| message.partition).collect()
}

#[test]
fn members_share_the_partitions_and_nothing_is_lost_when_one_joins_and_one_leaves() {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Arc::new(Broker::start());
    let settings = broker.settings("group");
    let (first, second) = (Recorder::new(), Recorder::new());
    let start =
        |recorder: &Recorder| Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    let traffic = Traffic::start(&broker);
    let consumer = start(&first);
    first.wait_for(100);

    let joined = start(&second);
    second.wait_for(100);
    // A slow machine may take more than one rebalance until each member has half of the partitions.
    wait_until("each member has half of the partitions", || {
        let since = (first.applied().len(), second.applied().len());
        first.wait_for(since.0 + 300);
        second.wait_for(since.1 + 300);
        let (of_first, of_second) = (partitions(&first, since.0), partitions(&second, since.1));
        of_first.is_disjoint(&of_second) && (of_first.len(), of_second.len()) == (6, 6)
    });

    consumer.stop().unwrap();
    let since = second.applied().len();
    wait_until("the other has all partitions", || partitions(&second, since).len() == 12);
    let sent = traffic.end();
    wait_until("everything is applied", || numbers(&[&first, &second]).len() == sent);
    joined.stop().unwrap();
    assert_eq!(numbers(&[&first, &second]), (0..sent).collect());
    // Messages that a member applied before it left are not delivered to the other again.
    let twice = first.bodies().len() + second.bodies().len() - sent;
    assert!(twice < sent / 4, "{twice} of {sent} were applied twice");
}

#[test]
fn a_member_that_is_failing_when_its_partitions_move_loses_nothing() {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Arc::new(Broker::start());
    let settings = broker.settings("group");
    let down = Arc::new(AtomicBool::new(false));
    let first = Recorder::that({
        let down = Arc::clone(&down);
        move |_| {
            if down.load(Ordering::SeqCst) { Err(dual_db::Error::Unavailable("gone".to_owned())) } else { Ok(()) }
        }
    });
    let second = Recorder::new();
    let traffic = Traffic::start(&broker);
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), first.clone()).unwrap();
    first.wait_for(100);
    down.store(true, Ordering::SeqCst);
    let joined = Consumer::start(&settings, TOPIC, test.database().clone(), second.clone()).unwrap();
    second.wait_for(100);
    down.store(false, Ordering::SeqCst);
    let since = first.applied().len();
    first.wait_for(since + 100);
    let sent = traffic.end();
    wait_until("everything is applied", || numbers(&[&first, &second]).len() == sent);
    assert_eq!(numbers(&[&first, &second]), (0..sent).collect());
    consumer.stop().unwrap();
    joined.stop().unwrap();
}

/// librdkafka keeps a partition paused when it is revoked and assigned again.
#[test]
fn partitions_that_are_revoked_while_paused_are_read_when_they_are_assigned_again() {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Broker::start();
    let settings = broker.settings("group");
    let (first, second) = (Recorder::new(), Recorder::new());
    let start =
        |recorder: &Recorder| Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    let to_all = |number: usize| {
        for partition in 0..12 {
            broker.send_raw(partition, Some(b"key"), Some(number.to_string().as_bytes()));
        }
    };
    let one = start(&first);
    to_all(0);
    wait_until("the first has all partitions", || partitions(&first, 0).len() == 12);
    first.set_room(false);
    first.wait_for_room_checks(3);
    let other = start(&second);
    wait_until("the second has some of them", || {
        to_all(1);
        !partitions(&second, 0).is_empty()
    });
    first.set_room(true);
    wait_until("the first reads the partitions that it kept", || first.bodies().contains(&"1".to_owned()));
    other.stop().unwrap();
    let before = first.applied().len();
    wait_until("the first reads all partitions again", || {
        to_all(2);
        partitions(&first, before).len() == 12
    });
    one.stop().unwrap();
}

/// A batch that takes longer than `max.poll.interval.ms`: the other member gets the partitions, and the slow one rejoins the
/// group after the batch. No message is lost, and only the messages of that batch are applied twice.
#[test]
fn a_member_that_exceeds_the_poll_interval_loses_its_partitions_and_rejoins() {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Broker::start();
    let mut settings = broker.settings("group");
    settings.consumer.max_poll_interval_ms = settings.consumer.session_timeout_ms;
    let (wake, woken) = channel::<()>();
    let slow = Recorder::that(move |_| {
        // Blocks in the first batch until the test drops the sender; later batches return at once.
        let _ = woken.recv_timeout(PATIENCE);
        Ok(())
    });
    let other = Recorder::new();
    let start =
        |recorder: &Recorder| Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    let to_all = |number: usize| {
        for partition in 0..12 {
            broker.send_raw(partition, Some(b"key"), Some(number.to_string().as_bytes()));
        }
    };
    let one = start(&slow);
    to_all(0);
    wait_until("the slow one is in its first batch", || !slow.tried().is_empty());
    let two = start(&other);
    wait_until("the other has all partitions", || partitions(&other, 0).len() == 12);
    drop(wake);
    wait_until("the slow one has finished the batch and reads again", || {
        to_all(1);
        slow.bodies().contains(&"1".to_owned())
    });
    two.stop().unwrap();
    one.stop().unwrap();
    let both: BTreeSet<i32> = partitions(&slow, 0).union(&partitions(&other, 0)).copied().collect();
    assert_eq!(both.len(), 12);
}
