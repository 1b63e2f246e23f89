//! The hook before publishing: it gets every committed message, and no other, before any consumer can receive it.

use crate::bus::{Broker, bodies, outgoing, publish, text};
use dual_db::{Database, Error};
use event_bus::{BeforePublish, MIGRATIONS, OutboxRow, OutgoingMessage, Relay, RowHeaders, pending_in_outbox};
use rdkafka::Message;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use test_support::{
    OutboxMessage, PATIENCE, count, fail_commits, leave_in_outbox, let_commits_succeed, on_both_databases, wait_until,
};

/// Records the rows it gets, and blocks the calling thread at a row with the body `"held"` until the test releases it.
struct Recording {
    seen: Mutex<Vec<Vec<OutboxRow>>>,
    reached: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Recording {
    fn new() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let (reached, is_reached) = channel();
        let (go, go_on) = channel();
        (Arc::new(Self { seen: Mutex::default(), reached, go_on: Mutex::new(go_on) }), is_reached, go)
    }

    fn bodies(&self) -> Vec<Vec<String>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|rows| rows.iter().map(|row| row.body.clone()).collect()).collect()
    }
}

impl BeforePublish for Recording {
    fn before_publish(&self, rows: &[OutboxRow]) {
        self.seen.lock().unwrap().push(rows.to_vec());
        if rows.iter().any(|row| row.body == "held") {
            self.reached.send(()).unwrap();
            self.go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
    }
}

/// All have one key, and so one partition: the message that the producer gets first arrives first.
fn message(body: &str) -> OutgoingMessage {
    OutgoingMessage { event_id: format!("event {body}"), body: body.to_owned(), ..outgoing(1) }
}

on_both_databases! {
    fn the_hook_gets_a_commit_once_after_the_commit_and_before_the_producer(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let (hook, is_reached, go) = Recording::new();
        let relay = Relay::start_with(database, &broker.settings("group"), Some(hook.clone()), None).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| publish(&relay, &[message("held"), message("beside it")]));
            is_reached.recv_timeout(PATIENCE).unwrap();
            assert_eq!(database.read(pending_in_outbox).unwrap(), 2, "it is committed");
            publish(&relay, &[message("later")]);
            assert_eq!(bodies(&broker.seen(1)), ["later"], "the producer has nothing of what the hook holds");
            go.send(()).unwrap();
        });
        assert_eq!(bodies(&broker.seen(2)), ["held", "beside it"]);
        assert_eq!(hook.bodies(), [vec!["held", "beside it"], vec!["later"]]);
        let OutboxRow { event_id, topic, message_key, headers, .. } = hook.seen.lock().unwrap()[1][0].clone();
        let OutgoingMessage { event_id: id, topic: to, key, headers: pairs, .. } = message("later");
        assert_eq!((event_id, topic, message_key), (id, to, key));
        assert_eq!(headers, RowHeaders::Pairs(pairs));
        relay.stop();
    }

    fn the_hook_gets_rows_left_by_a_crash_before_the_sweeper_sends_them(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let OutgoingMessage { event_id, topic, key, headers, body } = message("held");
        let headers = serde_json::to_string(&headers).unwrap();
        let left = OutboxMessage { event_id, topic, message_key: key, headers, body };
        database.write(|c| leave_in_outbox(c, &left, 1)).unwrap();
        let (hook, is_reached, go) = Recording::new();
        let relay = Relay::start_with(database, &broker.settings("group"), Some(hook.clone()), None).unwrap();
        is_reached.recv_timeout(PATIENCE).unwrap();
        publish(&relay, &[message("later")]);
        assert_eq!(bodies(&broker.seen(1)), ["later"], "the sweeper sends nothing of what the hook holds");
        go.send(()).unwrap();
        assert_eq!(bodies(&broker.seen(1)), ["held"]);
        wait_until("the outbox is empty", || database.read(pending_in_outbox).unwrap() == 0);
        assert_eq!(hook.bodies(), [["held"], ["later"]]);
        relay.stop();
    }

    fn the_hook_gets_nothing_that_was_not_committed(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let (hook, ..) = Recording::new();
        let relay = Relay::start_with(database, &broker.settings("group"), Some(hook.clone()), None).unwrap();
        let commit = |body: &str, fails: Option<Error>| {
            let mut fails = fails;
            relay.commit(|_, publications| {
                publications.publish([message(body)]);
                fails.take().map_or(Ok(()), Err)
            })
        };
        fail_commits(database, "outbox", "true");
        assert!(commit("its COMMIT fails", None).is_err());
        let_commits_succeed(database, "outbox");
        let rolled_back = Error::Query(diesel::result::Error::RollbackTransaction);
        assert!(commit("rolled back", Some(rolled_back)).is_err());
        // A transaction that publishes nothing does not call the hook.
        relay.commit(|_, _| Ok(())).unwrap();
        commit("committed", None).unwrap();
        assert_eq!(bodies(&broker.seen(1)), ["committed"]);
        assert_eq!(hook.bodies(), [["committed"]]);
        relay.stop();
    }

    fn messages_of_a_run_that_lost_a_race_are_dropped(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let broker = Broker::start();
        let (hook, ..) = Recording::new();
        let relay = Relay::start_with(database, &broker.settings("group"), Some(hook.clone()), None).unwrap();
        let mut run = 0;
        let committed = relay.commit(|_, publications| {
            run += 1;
            publications.publish([message(&format!("run {run}"))]);
            if run < 3 { Err(Error::Conflict) } else { Ok(run) }
        });
        assert_eq!(committed.unwrap(), 3);
        assert_eq!(text(broker.seen(1)[0].payload()), "run 3");
        assert_eq!(hook.bodies(), [["run 3"]]);
        wait_until("the outbox is empty", || count(database, "outbox") == 0);
        assert!(broker.seen_now().is_none());
        relay.stop();
    }

    fn a_message_in_the_outbox_or_the_same_transaction_is_not_published_again(database: &Database) {
        database.migrate(&[&MIGRATIONS]).unwrap();
        let relay = Relay::start(database, &crate::bus::settings_for("127.0.0.1:1", "group")).unwrap();
        publish(&relay, &[message("waits")]);
        let published = relay.commit(|connection, publications| {
            publications.publish([message("new")]);
            let again = [message("waits"), message("new"), message("other")];
            publications.publish_unless_waiting(connection, &again)
        });
        assert_eq!(published.unwrap(), 1);
        let waiting: Vec<String> = test_support::outbox(database).into_iter().map(|message| message.body).collect();
        assert_eq!(waiting, ["waits", "new", "other"]);
    }
}
