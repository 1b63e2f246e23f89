//! What is proven to be poison becomes a dead letter, and nothing else does, whatever the database refuses meanwhile.

use crate::bus::{Broker, Recorder, TOPIC};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use dual_db::{Connection, Database, Error};
use event_bus::{Consumer, MIGRATIONS, count_dead_letters};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use test_support::{TestDatabase, count, execute, number, on_both_databases, on_postgres, wait_until};

/// Inserts each body into a table whose CHECK refuses negative numbers.
fn into_bodies(
    database: &Database,
) -> impl FnMut(&[event_bus::IncomingMessage]) -> dual_db::Result<()> + Send + 'static {
    let database = database.clone();
    move |batch| {
        database.write(|connection| {
            for message in batch {
                let body = std::str::from_utf8(&message.body).unwrap();
                execute(connection, &format!("INSERT INTO bodies (body) VALUES ({body}) ON CONFLICT DO NOTHING"))?;
            }
            Ok(())
        })
    }
}

fn prepare(database: &Database) {
    database.migrate(&[&MIGRATIONS]).unwrap();
    database.write(|c| execute(c, "CREATE TABLE bodies (body BIGINT PRIMARY KEY CHECK (body >= 0))")).unwrap();
}

/// A failure for a reason that has no kind, in a language that nothing depends on.
fn unexplained() -> Error {
    Error::from(DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new("Verklemmung entdeckt".to_owned())))
}

on_both_databases! {
    fn among_ten_thousand_messages_and_random_failures_exactly_the_poison_is_dead_lettered(database: &Database) {
        prepare(database);
        let broker = Broker::start();
        let poison: BTreeSet<i64> = [17, 18, 2_000, 4_999, 5_000, 7_777, 9_999].into();
        let numbers = (0..10_000_i64).map(|n| if poison.contains(&n) { -n } else { n });
        let bodies: Vec<(String, String)> = numbers.map(|n| (n.abs().to_string(), n.to_string())).collect();
        broker.send(bodies.iter().map(|(key, body)| (key.as_str(), body.clone())));
        let (calls, failures) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut apply = into_bodies(database);
        let recorder = Recorder::that({
            let (calls, failures) = (Arc::clone(&calls), Arc::clone(&failures));
            move |batch| {
                // A fifth of the transactions, spread by a fixed multiplier: a test must be repeatable.
                let call = calls.fetch_add(1, Ordering::SeqCst);
                if call.wrapping_mul(2_654_435_761) % 5 == 0 {
                    failures.fetch_add(1, Ordering::SeqCst);
                    return Err(unexplained());
                }
                apply(batch)
            }
        });
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 3;
        settings.consumer.retry_pause_ms = 1;
        settings.consumer.max_retry_pause_ms = 20;
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        wait_until("all are applied or dead-lettered", || {
            count(database, "bodies") + count(database, "dead_letters") >= 10_000
        });
        consumer.stop().unwrap();
        let letters: BTreeSet<i64> = database
            .read(|c| event_bus::list_dead_letters(c, None, None, 100))
            .unwrap()
            .iter()
            .map(|letter| std::str::from_utf8(letter.message_key.as_deref().unwrap()).unwrap().parse().unwrap())
            .collect();
        assert_eq!(letters, poison);
        assert_eq!(count(database, "bodies"), 10_000 - 7);
        assert!(failures.load(Ordering::SeqCst) > 10, "there were random failures");
    }

    fn messages_of_which_none_can_be_applied_are_not_dead_lettered_while_the_database_may_be_at_fault(database: &Database) {
        prepare(database);
        let broker = Broker::start();
        let has_room = Arc::new(AtomicBool::new(false));
        let mut apply = into_bodies(database);
        let recorder = Recorder::that({
            let has_room = Arc::clone(&has_room);
            // As where there is no room for new rows, and the probe needs none.
            move |batch| if has_room.load(Ordering::SeqCst) { apply(batch) } else { Err(unexplained()) }
        });
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 2;
        settings.consumer.retry_pause_ms = 1;
        settings.consumer.max_retry_pause_ms = 20;
        settings.consumer.batch_linger_ms = 2_000;
        settings.consumer.max_batch_messages = 5;
        settings.consumer.poison_after_ms = 1_000;
        broker.send_together((0..5).map(|n| (["a", "b", "c", "d", "e"][n], n.to_string())));
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        wait_until("they are tried one by one", || recorder.tried().len() > 10);
        let since = Instant::now();
        wait_until("they fail for longer than one that is at fault", || since.elapsed() > Duration::from_secs(2));
        assert_eq!(database.read(count_dead_letters).unwrap(), 0, "after {:?}", since.elapsed());
        has_room.store(true, Ordering::SeqCst);
        wait_until("they are applied", || count(database, "bodies") == 5);
        consumer.stop().unwrap();
        assert_eq!(database.read(count_dead_letters).unwrap(), 0);
    }

    fn a_message_that_fails_without_a_known_reason_is_dead_lettered_after_its_time_and_its_neighbours_go_first(database: &Database) {
        prepare(database);
        let broker = Broker::start();
        let mut apply = into_bodies(database);
        let recorder = Recorder::that(move |batch| {
            if batch.iter().any(|message| message.body == b"3") { Err(unexplained()) } else { apply(batch) }
        });
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 2;
        settings.consumer.retry_pause_ms = 1;
        settings.consumer.max_retry_pause_ms = 20;
        broker.send_together((0..10).map(|n| (["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][n], n.to_string())));
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        wait_until("the others are applied", || count(database, "bodies") == 9);
        consumer.stop().unwrap();
        assert_eq!(database.read(count_dead_letters).unwrap(), 0, "five minutes are not over");
        settings.consumer.poison_after_ms = 500;
        let started = Instant::now();
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        wait_until("it is dead-lettered", || count(database, "dead_letters") == 1);
        assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
        consumer.stop().unwrap();
        assert_eq!(count(database, "bodies"), 9);
    }
}

/// The settings of a database as another role that owns nothing.
fn as_role(test: &TestDatabase, role: &str) -> dual_db::DatabaseSettings {
    let url = test.settings().url.expose();
    let (_, host) = url.rsplit_once('@').unwrap();
    dual_db::DatabaseSettings { url: format!("postgres://{role}:{role}@{host}").into(), ..test.settings().clone() }
}

on_postgres! {
    #[test]
    fn rights_that_are_revoked_for_a_while_make_no_dead_letters() {
        let test = TestDatabase::postgres();
        let owner = test.database();
        prepare(owner);
        let role = test_support::unique("role");
        let rights = "INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public";
        owner.write(|c| {
            execute(c, &format!("CREATE ROLE {role} LOGIN PASSWORD '{role}'"))?;
            execute(c, &format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))?;
            execute(c, &format!("GRANT {rights} TO {role}"))
        }).unwrap();
        let settings = dual_db::DatabaseSettings { migrate_at_start: false, ..as_role(&test, &role) };
        let database = Database::open_migrated(&settings, &[&MIGRATIONS]).unwrap();
        database.probe_write().unwrap();
        owner.write(|c| execute(c, &format!("REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA public FROM {role}"))).unwrap();
        assert!(matches!(database.probe_write(), Err(Error::Failed(_))), "it is not ready");

        let broker = Broker::start();
        let mut settings = broker.settings("group");
        settings.consumer.max_attempts = 2;
        settings.consumer.retry_pause_ms = 1;
        settings.consumer.max_retry_pause_ms = 20;
        settings.consumer.poison_after_ms = 1;
        broker.send_together((0..5).map(|n| (["a", "b", "c", "d", "e"][n], n.to_string())));
        let recorder = Recorder::that(into_bodies(&database));
        let consumer = Consumer::start(&settings, TOPIC, database.clone(), recorder.clone()).unwrap();
        wait_until("it was tried often", || recorder.tried().len() > 30);
        owner.write(|c| execute(c, &format!("GRANT {rights} TO {role}"))).unwrap();
        wait_until("the messages are applied", || count(owner, "bodies") == 5);
        consumer.stop().unwrap();
        assert_eq!(count(owner, "dead_letters"), 0);
        drop(database);
        owner.write(|c: &mut Connection| {
            execute(c, &format!("DROP OWNED BY {role}"))?;
            execute(c, &format!("DROP ROLE {role}"))
        }).unwrap();
        assert!(number(owner, "SELECT probes AS n FROM write_probe") >= 1);
    }
}
