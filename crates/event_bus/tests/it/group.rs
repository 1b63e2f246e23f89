//! Several members of one group: they share the partitions, and a member that comes or goes costs no message.

use crate::bus::{Broker, Recorder, TOPIC};
use event_bus::{Consumer, MIGRATIONS};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use test_support::{PATIENCE, TestDatabase, wait_until};

/// Sends numbers, again and again, until it is told to stop.
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
                    // Paces the load: consumers have to keep up with it on a machine that is busy.
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
        });
        Self { broker: Arc::clone(broker), stop, sent, thread }
    }

    /// Ends it: how many numbers were sent.
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
fn members_share_the_partitions_and_nothing_is_lost_when_one_comes_and_one_goes() {
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
    // In the end each works on its own half; a slow machine may take more than one rebalance to get there.
    wait_until("each works on its own half", || {
        let since = (first.applied().len(), second.applied().len());
        first.wait_for(since.0 + 300);
        second.wait_for(since.1 + 300);
        let (of_first, of_second) = (partitions(&first, since.0), partitions(&second, since.1));
        of_first.is_disjoint(&of_second) && (of_first.len(), of_second.len()) == (6, 6)
    });

    consumer.stop().unwrap();
    let since = second.applied().len();
    wait_until("the other takes all partitions over", || partitions(&second, since).len() == 12);
    let sent = traffic.end();
    wait_until("everything is applied", || numbers(&[&first, &second]).len() == sent);
    joined.stop().unwrap();
    assert_eq!(numbers(&[&first, &second]), (0..sent).collect());
    // What a member applied before it left is not handed to the other again.
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

/// librdkafka keeps a partition paused when it is taken away and given back.
#[test]
fn partitions_that_leave_while_they_are_paused_are_read_when_they_come_back() {
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
    first.wait_for_questions(3);
    let other = start(&second);
    wait_until("the second has some of them", || {
        to_all(1);
        !partitions(&second, 0).is_empty()
    });
    first.set_room(true);
    wait_until("the first goes on with what it kept", || first.bodies().contains(&"1".to_owned()));
    other.stop().unwrap();
    let before = first.applied().len();
    wait_until("the first reads all partitions again", || {
        to_all(2);
        partitions(&first, before).len() == 12
    });
    one.stop().unwrap();
}

/// A batch that takes longer than `max.poll.interval.ms`: the member loses its partitions to the other, and is a member
/// again once it is through. Nothing is lost, and what was applied twice is the batch in hand.
#[test]
fn a_member_that_is_too_slow_once_loses_its_partitions_and_joins_again() {
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Broker::start();
    let mut settings = broker.settings("group");
    settings.consumer.max_poll_interval_ms = settings.consumer.session_timeout_ms;
    let (wake, woken) = channel::<()>();
    let slow = Recorder::that(move |_| {
        // From the second batch on there is nobody who could wake it.
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
    wait_until("it is in its first batch", || !slow.tried().is_empty());
    let two = start(&other);
    wait_until("the other has all partitions", || partitions(&other, 0).len() == 12);
    drop(wake);
    wait_until("the slow one is through and reads again", || {
        to_all(1);
        slow.bodies().contains(&"1".to_owned())
    });
    two.stop().unwrap();
    one.stop().unwrap();
    let both: BTreeSet<i32> = partitions(&slow, 0).union(&partitions(&other, 0)).copied().collect();
    assert_eq!(both.len(), 12);
}
