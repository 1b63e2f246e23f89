//! Pointers: rows of the outbox that only name their event are published with the messages that the service builds again.

use crate::bus::{Broker, bodies, outgoing, settings_for};
use dual_db::{Connection, Database};
use event_bus::{
    BeforePublish, EventPointer, KafkaSettings, MIGRATIONS, OutboxRow, OutgoingMessage, Rebuild, Relay,
    find_dead_letter, list_dead_letters, pending_in_outbox,
};
use std::sync::{Arc, Mutex};
use test_support::{count, on_both_databases, wait_until};

/// A service that stores one body, or none.
struct Stored(Option<String>);

impl Rebuild for Stored {
    fn rebuild(&self, _: &mut Connection, events: &[EventPointer]) -> dual_db::Result<Vec<Option<OutgoingMessage>>> {
        let message = |EventPointer { event_id, topic, key }: &EventPointer| OutgoingMessage {
            event_id: event_id.clone(),
            topic: topic.clone(),
            key: key.clone(),
            headers: vec![("ce_id".to_owned(), event_id.clone())],
            body: self.0.clone().expect("it stores one"),
        };
        Ok(events.iter().map(|event| self.0.as_ref().map(|_| message(event))).collect())
    }
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl BeforePublish for Seen {
    fn before_publish(&self, rows: &[OutboxRow]) {
        self.0.lock().unwrap().extend(rows.iter().map(|row| row.body.clone()));
    }
}

/// Leaves the row of an event that was committed and not published, as a pointer.
fn leave_pointer(database: &Database) {
    database.migrate(&[&MIGRATIONS]).unwrap();
    let mut settings = settings_for("127.0.0.1:1", "group");
    (settings.producer.delivery_timeout_ms, settings.producer.flush_timeout_ms) = (100, 100);
    let relay = start(database, &settings, Some("stored"), None);
    publish(&relay, &outgoing(1));
    relay.stop();
    assert_eq!(count(database, "outbox WHERE headers IS NULL AND body IS NULL"), 1);
}

fn start(
    database: &Database,
    settings: &KafkaSettings,
    stored: Option<&str>,
    hook: Option<Arc<dyn BeforePublish>>,
) -> Arc<Relay> {
    Relay::start_with(database, settings, hook, Some(Arc::new(Stored(stored.map(str::to_owned))))).unwrap()
}

fn publish(relay: &Relay, message: &OutgoingMessage) {
    relay
        .commit(|_, publications| {
            publications.publish_rebuildable([message.clone()]);
            Ok(())
        })
        .unwrap();
}

fn outbox_empties(database: &Database) {
    wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
}

on_both_databases! {
    fn a_commit_publishes_the_message_it_has_in_memory(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let seen = Arc::new(Seen::default());
        let relay = start(database, &broker.settings("group"), None, Some(seen.clone()));
        publish(&relay, &outgoing(1));
        assert_eq!(bodies(&broker.seen(1)), [outgoing(1).body.as_str()]);
        assert_eq!(*seen.0.lock().unwrap(), [outgoing(1).body]);
        outbox_empties(database);
        relay.stop();
    }

    fn what_a_crash_left_behind_is_built_again_and_the_hook_sees_it(database: &Database) {
        leave_pointer(database);
        let broker = Broker::start();
        let seen = Arc::new(Seen::default());
        let relay = start(database, &broker.settings("group"), Some("newer"), Some(seen.clone()));
        assert_eq!(bodies(&broker.seen(1)), ["newer"]);
        assert_eq!(*seen.0.lock().unwrap(), ["newer"]);
        outbox_empties(database);
        relay.stop();
    }

    fn one_that_cannot_be_published_is_a_dead_letter_with_its_message(database: &Database) {
        leave_pointer(database);
        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.max_message_bytes = 1_000;
        let large = "x".repeat(5_000);
        let relay = start(database, &settings, Some(&large), None);
        outbox_empties(database);
        let [dead_letter] = &database.read(|c| list_dead_letters(c, None, None, 10)).unwrap()[..] else { panic!("there is one") };
        assert_eq!(dead_letter.event_id.as_ref(), Some(&outgoing(1).event_id));
        assert!(dead_letter.headers.contains("ce_id"), "{dead_letter:?}");
        let (_, body) = database.read(|c| find_dead_letter(c, dead_letter.id)).unwrap().unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), large);
        relay.stop();
    }

    fn one_of_something_that_is_not_stored_any_more_is_dropped(database: &Database) {
        leave_pointer(database);
        let broker = Broker::start();
        let relay = start(database, &broker.settings("group"), None, None);
        outbox_empties(database);
        assert_eq!(count(database, "dead_letters"), 0);
        assert!(broker.seen_now().is_none());
        relay.stop();
    }

    fn without_anything_that_builds_it_again_the_message_is_stored(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let relay = Relay::start(database, &settings_for("127.0.0.1:1", "group")).unwrap();
        publish(&relay, &outgoing(1));
        assert_eq!(test_support::outbox(database)[0].body, outgoing(1).body);
    }
}
