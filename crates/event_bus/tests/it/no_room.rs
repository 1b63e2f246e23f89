//! Partitions that are assigned to a member without room: their messages stay at the broker until the member has room.

use crate::bus::{Broker, Recorder, TOPIC};
use crate::logged;
use event_bus::{Consumer, Handler, IncomingMessage, MIGRATIONS};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use test_support::{TestDatabase, wait_until};

const MAX_BATCH: usize = 10;
const MESSAGES_A_PARTITION: i32 = 20;

/// The number of partitions that a consumer's thread has logged as assigned or revoked. The local broker does not report the
/// assignment of a member, and a member with paused partitions shows nothing else to a test.
fn moved_partitions(consumer: ThreadId) -> usize {
    logged::lines(|line| line.thread == consumer).iter().map(|line| line.partitions).sum()
}

/// A recorder that also records the thread of its consumer and its largest batch.
#[derive(Clone)]
struct Member {
    recorder: Recorder,
    thread: Arc<Mutex<Option<ThreadId>>>,
    largest_batch: Arc<AtomicUsize>,
}

impl Member {
    fn new() -> Self {
        Self { recorder: Recorder::new(), thread: Arc::default(), largest_batch: Arc::default() }
    }

    /// The number of partitions that were assigned to it or revoked so far.
    fn moved_partitions(&self) -> usize {
        self.thread.lock().unwrap().map_or(0, moved_partitions)
    }

    fn partitions(&self) -> BTreeSet<i32> {
        self.recorder.applied().iter().map(|message| message.partition).collect()
    }
}

impl Handler for Member {
    fn has_room(&self) -> bool {
        *self.thread.lock().unwrap() = Some(thread::current().id());
        self.recorder.has_room()
    }

    fn handle(&mut self, batch: &[IncomingMessage]) -> dual_db::Result<()> {
        self.largest_batch.fetch_max(batch.len(), Ordering::SeqCst);
        self.recorder.handle(batch)
    }
}

#[test]
fn a_member_without_room_leaves_newly_assigned_partitions_to_the_broker() {
    logged::watch();
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let broker = Broker::start();
    let mut settings = broker.settings("group");
    settings.consumer.max_batch_messages = MAX_BATCH;
    let start = |member: &Member| Consumer::start(&settings, TOPIC, test.database().clone(), member.clone()).unwrap();
    let before = ["before".to_owned()];

    let (full, leaving) = (Member::new(), Member::new());
    let stays = start(&full);
    broker.send_to_all_partitions(&before);
    wait_until("the first has all partitions", || full.partitions().len() == 12);
    let leaves = start(&leaving);
    wait_until("the second has some of them", || {
        broker.send_to_all_partitions(&before);
        !leaving.partitions().is_empty()
    });
    full.recorder.set_room(false);
    full.recorder.wait_for_room_checks(2);
    let (moved, tried) = (full.moved_partitions(), full.recorder.tried().len());
    leaves.stop().unwrap();
    let later: Vec<String> = (0..MESSAGES_A_PARTITION).map(|n| n.to_string()).collect();
    broker.send_to_all_partitions(&later);

    wait_until("the partitions of the second are assigned to the first", || full.moved_partitions() > moved);
    // The consumer polls between two checks. A poll that finds a message returns at once, so 20 would exceed a batch.
    full.recorder.wait_for_room_checks(20);
    assert_eq!(full.recorder.tried().len(), tried, "without room nothing is handled");

    full.recorder.set_room(true);
    let all = later.len() * 12;
    let handled = || -> Vec<IncomingMessage> {
        let applied = full.recorder.applied();
        applied.into_iter().filter(|message| message.body != b"before").collect()
    };
    wait_until("with room everything is handled", || handled().len() >= all);
    stays.stop().unwrap();
    for partition in 0..12 {
        let of_partition = handled().into_iter().filter(|message| message.partition == partition);
        let bodies: Vec<String> = of_partition.map(|message| String::from_utf8(message.body).unwrap()).collect();
        assert_eq!(bodies, later, "each once and in its order, in partition {partition}");
    }
    let largest = full.largest_batch.load(Ordering::SeqCst);
    assert!(largest <= MAX_BATCH, "a batch of {largest}: messages were fetched while there was no room");
}
