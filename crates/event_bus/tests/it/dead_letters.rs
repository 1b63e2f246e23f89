//! Messages that the database refuses: each is dead-lettered with its bytes and the reason, and the others are applied.

use crate::bus::{Broker, Recorder, TOPIC, bodies, headers, settings_for};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use dual_db::{Connection, Database, Error};
use event_bus::{
    Consumer, DeadLetter, DeadLetterAction, DeadLetterState, Disposition, IncomingMessage, MIGRATIONS, Relay,
    count_dead_letters, discard_dead_letter, find_dead_letter, insert_dead_letters, list_dead_letters,
    pending_in_outbox, redrive_dead_letter,
};
use rdkafka::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use test_support::{
    allow, count, execute, fail_commits, forbid, let_commits_succeed, number, number_in, on_both_databases, wait_until,
};

/// A handler that inserts each body into a table, in one transaction for a batch, as a service does.
fn writing_into(database: &Database) -> Recorder {
    database.write(|c| execute(c, "CREATE TABLE bodies (body BIGINT NOT NULL)")).unwrap();
    let database = database.clone();
    Recorder::that(move |batch| {
        database.write(|connection| {
            for message in batch {
                // The column is NOT NULL, so the database refuses poison.
                let body = std::str::from_utf8(&message.body).unwrap();
                let value = if body.starts_with("poison") { "NULL" } else { body };
                execute(connection, &format!("INSERT INTO bodies (body) VALUES ({value})"))?;
            }
            Ok(())
        })
    })
}

fn message(offset: i64, time_ms: i64) -> IncomingMessage {
    IncomingMessage {
        topic: TOPIC.to_owned(),
        partition: 3,
        offset,
        time_ms,
        key: Some(b"\xffkey".to_vec()),
        headers: vec![("name".to_owned(), b"\xffvalue".to_vec())],
        body: b"\x00\xff\xfe".to_vec(),
    }
}

/// Whether another transaction waits for this one. On SQLite every other one waits for the only connection that writes.
fn others_wait(connection: &mut Connection) -> bool {
    match connection {
        Connection::Sqlite(_) => true,
        Connection::Postgres(_) => {
            let for_this = "SELECT count(*) AS n FROM pg_locks \
                            WHERE NOT granted AND transactionid = pg_current_xact_id()::xid";
            number_in(connection, for_this).unwrap() > 0
        }
    }
}

on_both_databases! {
    fn a_message_over_the_size_limit_is_dead_lettered_whole_and_the_others_are_applied(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let (broker, recorder) = (Broker::start(), Recorder::new());
        let mut settings = broker.settings("group");
        settings.max_message_bytes = 1_000;
        broker.send([("a", "first".to_owned()), ("a", "x".repeat(1_001)), ("a", "x".repeat(1_000))]);
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        recorder.wait_for(2);
        wait_until("it is dead-lettered", || database.read(count_dead_letters).unwrap() == 1);
        broker.send([("a", "last".to_owned())]);
        recorder.wait_for(3);
        consumer.stop().unwrap();
        assert_eq!(recorder.bodies(), ["first".to_owned(), "x".repeat(1_000), "last".to_owned()]);
        assert_eq!(number(database, "SELECT CAST(MIN(LENGTH(body)) AS BIGINT) AS n FROM dead_letters"), 1_001);
        assert_eq!(count(database, "dead_letters WHERE reason LIKE '%max_message_bytes%'"), 1);
    }

    fn messages_that_the_database_refuses_are_dead_lettered_and_the_others_are_applied(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let recorder = writing_into(database);
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 3;
        settings.consumer.retry_pause_ms = 5;
        // One partition, so that the poison comes before other messages of its partition.
        let body = |n: usize| if n % 10 == 7 { format!("poison {n}") } else { n.to_string() };
        broker.send((0..30).map(|n| ("a", body(n))));
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        recorder.wait_for(27);
        wait_until("the poison is dead-lettered", || database.read(count_dead_letters).unwrap() == 3);
        broker.send([("a", "100".to_owned())]);
        recorder.wait_for(28);
        consumer.stop().unwrap();
        assert_eq!(count(database, "bodies"), 28, "each is applied once, although its batch failed");
        assert_eq!(number(database, "SELECT COUNT(DISTINCT body) AS n FROM bodies"), 28);
        let tried = recorder.tried();
        for n in [7, 17, 27] {
            // With its batch, which is rolled back, and then by itself.
            let attempts = tried.iter().filter(|tried| **tried == format!("poison {n}")).count();
            assert!((3..=5).contains(&attempts), "{attempts} attempts of poison {n}");
        }
        let stored = format!(
            "dead_letters WHERE topic = '{TOPIC}' AND reason = 'the database refuses it' AND message_offset IN (7, 17, 27)"
        );
        assert_eq!(count(database, &stored), 3);
        assert_eq!(
            number(database, "SELECT CAST(MIN(LENGTH(body)) AS BIGINT) AS n FROM dead_letters"),
            8,
            "the body is unchanged"
        );
        assert_eq!(count(database, "dead_letters WHERE headers = '[[\"name\",\"value\"]]'"), 3);

        // None of these messages is delivered again.
        let next = Recorder::new();
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), next.clone()).unwrap();
        broker.send([("a", "101".to_owned())]);
        next.wait_for(1);
        consumer.stop().unwrap();
        assert_eq!(next.bodies(), ["101"]);
    }

    fn a_message_is_not_lost_while_it_cannot_be_dead_lettered(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let recorder = writing_into(database);
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 1;
        settings.consumer.max_retry_pause_ms = 20;
        broker.send([("a", "poison".to_owned()), ("a", "2".to_owned())]);
        forbid(database, "INSERT", "dead_letters");
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        wait_until("it is retried", || recorder.tried().len() > 10);
        assert_eq!(count(database, "bodies"), 0, "the next message waits: storing its offset would skip the poison");
        let attempts = recorder.tried().len();
        let began = std::time::Instant::now();
        wait_until("it is retried further", || recorder.tried().len() > attempts + 10);
        assert!(began.elapsed() >= std::time::Duration::from_millis(100), "with pauses: {:?}", began.elapsed());
        allow(database, "dead_letters");
        recorder.wait_for(1);
        consumer.stop().unwrap();
        assert_eq!((count(database, "dead_letters"), count(database, "bodies")), (1, 1));
    }

    fn a_lost_race_is_no_refusal(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let mut left = 10;
        let recorder = Recorder::that(move |_| {
            left -= 1;
            let lost = |kind, text: &str| Err(Error::from(DieselError::DatabaseError(kind, Box::new(text.to_owned()))));
            match left {
                ..0 => Ok(()),
                n if n % 3 == 0 => lost(DatabaseErrorKind::SerializationFailure, "could not serialize access"),
                n if n % 3 == 1 => lost(DatabaseErrorKind::Unknown, "database is locked"),
                _ => lost(DatabaseErrorKind::Unknown, "canceling statement due to lock timeout"),
            }
        });
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 2;
        settings.consumer.max_retry_pause_ms = 20;
        broker.send([("a", "1".to_owned()), ("a", "2".to_owned())]);
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        recorder.wait_for(2);
        consumer.stop().unwrap();
        assert_eq!(database.read(count_dead_letters).unwrap(), 0);
    }

    fn a_message_that_is_consumed_again_is_dead_lettered_once(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let dead_letter =
            |offset, time_ms| DeadLetter { message: message(offset, time_ms), reason: "it's poison".to_owned() };
        let insert = |new: &[DeadLetter]| database.write(|c| insert_dead_letters(c, new, 5)).unwrap().report();
        insert(&[dead_letter(1, 10), dead_letter(2, 10), dead_letter(1, 10)]);
        insert(&[dead_letter(1, 10)]);
        assert_eq!(database.read(count_dead_letters).unwrap(), 2);
        // The same offset with another time stamp is another message: Kafka was wiped.
        insert(&[dead_letter(1, 11)]);
        assert_eq!(database.read(count_dead_letters).unwrap(), 3);
        insert(&[]);
        let failed = database.write(|c| {
            insert_dead_letters(c, &[dead_letter(9, 9)], 5)?.report();
            Err::<(), _>(Error::Query(DieselError::RollbackTransaction))
        });
        assert!(failed.is_err());
        assert_eq!(database.read(count_dead_letters).unwrap(), 3, "it is part of its batch's transaction");
        assert_eq!(
            number(database, "SELECT CAST(LENGTH(body) AS BIGINT) AS n FROM dead_letters WHERE message_time_ms = 11"),
            3
        );
        assert_eq!(
            number(
                database,
                "SELECT CAST(LENGTH(message_key) AS BIGINT) AS n FROM dead_letters WHERE message_time_ms = 11"
            ),
            4
        );
    }

    fn a_redriven_dead_letter_is_published_to_its_partition_and_applied(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let recorder = writing_into(database);
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 1;
        forbid(database, "INSERT", "bodies");
        broker.send([("a", "4711".to_owned())]);
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder).unwrap();
        wait_until("it is dead-lettered", || database.read(count_dead_letters).unwrap() == 1);
        allow(database, "bodies");
        let original = broker.seen(1).remove(0);

        let relay = Relay::start(database, &settings).unwrap();
        let id = database.read(|c| list_dead_letters(c, None, None, 1)).unwrap()[0].id;
        let action = DeadLetterAction { reason: Some("the table is back".to_owned()), ..DeadLetterAction::default() };
        let end = relay.commit(|c, publications| redrive_dead_letter(c, publications, id, &action));
        let Disposition::Done(redriven) = end.unwrap() else { panic!("it had not ended before") };
        assert!(redriven.state == DeadLetterState::Redriven && redriven.ended_at_us > Some(redriven.received_at_us), "{redriven:?}");
        wait_until("it is applied", || count(database, "bodies WHERE body = 4711") == 1);
        let again = broker.seen(1).remove(0);
        assert_eq!((again.partition(), again.key()), (original.partition(), original.key()));
        assert_eq!((again.payload(), headers(&again)), (original.payload(), headers(&original)));
        wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
        assert_eq!(database.read(count_dead_letters).unwrap(), 1, "the dead letter stays");
        relay.stop();
        consumer.stop().unwrap();
    }

    fn a_tombstone_is_redriven_as_a_tombstone(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        let tombstone = IncomingMessage { key: Some(b"k".to_vec()), headers: vec![], body: vec![], ..message(1, 1) };
        let dead_letter = DeadLetter { message: tombstone, reason: "it has no body".to_owned() };
        database.write(|c| insert_dead_letters(c, std::slice::from_ref(&dead_letter), 5)).unwrap().report();
        let redriven =
            relay.commit(|c, publications| redrive_dead_letter(c, publications, 1, &DeadLetterAction::default()));
        assert!(matches!(redriven, Ok(Disposition::Done(_))), "{redriven:?}");
        assert_eq!(broker.seen(1)[0].payload(), None, "it has no body, and not an empty one");
        relay.stop();
    }

    fn a_redrive_whose_commit_fails_publishes_nothing_and_can_be_repeated(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let relay = Relay::start(database, &broker.settings("group")).unwrap();
        // One key, and so one partition: had the first been published, it would arrive before the second.
        let two = [(1, "first"), (2, "second")].map(|(offset, body)| DeadLetter {
            message: IncomingMessage {
                key: Some(b"k".to_vec()),
                headers: vec![],
                body: body.into(),
                ..message(offset, 1)
            },
            reason: "poison".to_owned(),
        });
        database.write(|c| insert_dead_letters(c, &two, 5)).unwrap().report();
        let redrive =
            |id| relay.commit(|c, publications| redrive_dead_letter(c, publications, id, &DeadLetterAction::default()));
        fail_commits(database, "outbox", "true");
        assert!(redrive(1).is_err());
        let_commits_succeed(database, "outbox");
        let waiting = database.read(|c| list_dead_letters(c, Some(DeadLetterState::Waiting), None, 10)).unwrap();
        assert_eq!((waiting.len(), database.read(pending_in_outbox).unwrap()), (2, 0), "nothing was changed");
        for id in [2, 1] {
            let Disposition::Done(_) = redrive(id).unwrap() else { panic!("it had not ended before") };
        }
        assert_eq!(bodies(&broker.seen(2)), ["second", "first"]);
        wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
        relay.stop();
    }

    fn a_dead_letter_ends_once_when_many_instances_end_it_at_once(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let text = IncomingMessage { key: Some(b"k".to_vec()), headers: vec![], body: b"{}".to_vec(), ..message(1, 1) };
        let dead_letter = DeadLetter { message: text, reason: "poison".to_owned() };
        database.write(|c| insert_dead_letters(c, std::slice::from_ref(&dead_letter), 5)).unwrap().report();
        let relay = Relay::start(database, &settings_for("127.0.0.1:1", "group")).unwrap();
        let action = DeadLetterAction::default();
        let rolled_back = relay.commit(|c, publications| {
            redrive_dead_letter(c, publications, 1, &action)?;
            Err::<(), _>(Error::Query(DieselError::RollbackTransaction))
        });
        assert!(rolled_back.is_err());
        assert_eq!(database.read(pending_in_outbox).unwrap(), 0);

        let arrived = AtomicUsize::new(0);
        let ends: Vec<Disposition> = std::thread::scope(|scope| {
            let ending: Vec<_> = (0..8)
                .map(|n| {
                    let (relay, action, arrived) = (Arc::clone(&relay), &action, &arrived);
                    scope.spawn(move || {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        let end = relay.commit(|c, publications| {
                            let end = match n % 2 {
                                0 => redrive_dead_letter(c, publications, 1, action)?,
                                _ => discard_dead_letter(c, 1, action, 8)?,
                            };
                            if matches!(end, Disposition::Done(..)) {
                                // The others start while this transaction is not committed.
                                wait_until("all have started", || arrived.load(Ordering::SeqCst) == 8);
                                wait_until("others wait for this one", || others_wait(c));
                            }
                            Ok(end)
                        });
                        end.unwrap()
                    })
                })
                .collect();
            ending.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ends.iter().filter(|end| matches!(end, Disposition::Done(..))).count(), 1, "{ends:?}");
        assert_eq!(ends.iter().filter(|end| matches!(end, Disposition::AlreadyEnded(_))).count(), 7, "{ends:?}");
        let (ended, body) = database.read(|c| find_dead_letter(c, 1)).unwrap().unwrap();
        let redriven = i64::from(ended.state == DeadLetterState::Redriven);
        assert_eq!((database.read(pending_in_outbox).unwrap(), body), (redriven, b"{}".to_vec()));
        assert_eq!(database.write(|c| discard_dead_letter(c, 2, &action, 9)).unwrap(), Disposition::Unknown);
    }

    fn a_dead_letter_that_the_outbox_cannot_hold_byte_for_byte_is_not_redriven(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let relay = Relay::start(database, &settings_for("127.0.0.1:1", "group")).unwrap();
        let dead_letter = DeadLetter { message: message(1, 1), reason: "poison".to_owned() };
        database.write(|c| insert_dead_letters(c, std::slice::from_ref(&dead_letter), 5)).unwrap().report();
        let end = relay.commit(|c, publications| redrive_dead_letter(c, publications, 1, &DeadLetterAction::default())).unwrap();
        assert_eq!(end, Disposition::Unsendable("its key is not text in UTF-8"));
        let waiting = database.read(|c| list_dead_letters(c, Some(DeadLetterState::Waiting), None, 10)).unwrap();
        assert_eq!((waiting.len(), database.read(pending_in_outbox).unwrap()), (1, 0), "nothing was changed");
    }
}
