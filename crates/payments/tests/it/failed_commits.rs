//! A COMMIT that fails takes everything back that its transaction wrote: none of it may reach Kafka. A witness reads the
//! topic; what it could have seen too early has the same key as what it is to see, and so comes first in one partition.

use crate::harness::{CLAIM, Instance, approved, declined, event, settings, with_application};
use crate::messages::submitted;
use claim_events::{CLAIM_TOPIC, PAYMENT_TOPIC};
use event_bus::{Consumer, DeadLetter, Handler, IncomingMessage, KafkaSettings};
use local_broker::LocalBroker;
use payments::domain::saga::Answer;
use payments::domain::saga::Disbursement;
use std::sync::mpsc::{Receiver, Sender, channel};
use test_support::{PATIENCE, Tally, TestDatabase, fail_commits, let_commits_succeed, on_both_databases};

/// What is on one topic of a broker.
struct Witness {
    seen: Receiver<IncomingMessage>,
    consumer: Consumer,
    _database: TestDatabase,
}

struct Forward(Sender<IncomingMessage>);

impl Handler for Forward {
    fn handle(&mut self, batch: &[IncomingMessage]) -> dual_db::Result<()> {
        // A test that failed has no use for them.
        batch.iter().for_each(|message| drop(self.0.send(message.clone())));
        Ok(())
    }
}

impl Witness {
    fn of(topic: &str, broker: &LocalBroker) -> Self {
        let (forward, seen) = channel();
        let database = TestDatabase::sqlite();
        let kafka = KafkaSettings { brokers: broker.address().to_string(), ..KafkaSettings::for_group("witness") };
        let consumer = Consumer::start(&kafka, topic, database.database().clone(), Forward(forward)).expect("starts");
        Self { seen, consumer, _database: database }
    }

    fn next(&self) -> IncomingMessage {
        self.seen.recv_timeout(PATIENCE).expect("a message arrives")
    }

    fn stop(self) {
        self.consumer.stop().expect("stops");
    }
}

fn broker() -> LocalBroker {
    LocalBroker::start("127.0.0.1:0").expect("the broker starts")
}

on_both_databases! {
    fn an_outcome_whose_commit_fails_is_not_published(test: &TestDatabase) {
        let broker = broker();
        let witness = Witness::of(PAYMENT_TOPIC, &broker);
        let mut settings = settings();
        settings.kafka.brokers = broker.address().to_string();
        let instance = Instance::with_settings(test.database(), "one", settings);
        let pay = instance.receive(&event(CLAIM, 100, 1)).remove(0);

        fail_commits(test.database(), "outbox", "true");
        let answer = |input| Answer { claim_id: CLAIM.into(), revision: pay.revision, input, unclear: None };
        let announced = Tally::of("payment_outcomes_published_total");
        let counting = metrics::set_default_local_recorder(&announced);
        let failed = instance.executor.apply_answers(&[answer(approved(100))]);
        assert!(failed.is_err(), "{failed:?}");
        assert_eq!(announced.total(), 0, "what was taken back is not counted or logged");
        let_commits_succeed(test.database(), "outbox");
        let stored = instance.saga(CLAIM);
        assert_eq!((stored.saga.disbursement, stored.saga.outcome), (Disbursement::Intended, None));
        assert_eq!((instance.transfer_kinds(CLAIM), instance.published()), (vec!["reserve".to_owned()], 0));

        // The same version with another end: both on the topic would be a contradiction.
        instance.executor.apply_answers(&[answer(declined())]).expect("writes");
        assert_eq!(announced.total(), 1);
        drop(counting);
        let first = witness.next();
        assert_eq!(first.header("ce_id"), Some(format!("{CLAIM}.payment.unwound.1").as_str()));
        witness.stop();
    }

    fn a_claim_that_settles_at_once_is_not_published_if_its_commit_fails(test: &TestDatabase) {
        let broker = broker();
        let witness = Witness::of(PAYMENT_TOPIC, &broker);
        let mut settings = settings();
        settings.kafka.brokers = broker.address().to_string();
        let instance = Instance::with_settings(test.database(), "one", settings);
        fail_commits(test.database(), "outbox", "true");
        let received = |version| [payments::executor::Received::Claim(Box::new(event(CLAIM, 0, version)))];
        assert!(instance.executor.apply_events(&received(1), &[]).is_err());
        let_commits_succeed(test.database(), "outbox");
        instance.executor.apply_events(&received(2), &[]).expect("applies");
        let first = witness.next();
        assert_eq!(first.header("ce_id"), Some(format!("{CLAIM}.payment.unwound.1").as_str()));
        witness.stop();
    }

    fn a_redrive_whose_commit_fails_publishes_nothing_and_leaves_the_dead_letter(test: &TestDatabase) {
        let broker = broker();
        let witness = Witness::of(CLAIM_TOPIC, &broker);
        let change = |settings: &mut payments::settings::Settings| settings.kafka.brokers = broker.address().to_string();
        with_application(test, change, async |base, instance| {
            let dead_letters = [(1, "first"), (2, "second")].map(|(offset, name)| {
                let mut message = submitted(CLAIM, offset);
                message.headers.push(("letter".to_owned(), name.into()));
                DeadLetter { message, reason: "the database refuses it".to_owned() }
            });
            let kept = instance.database.write(|c| event_bus::insert_dead_letters(c, &dead_letters, 1_000_000));
            kept.expect("they are kept").report();
            let client = reqwest::Client::new();
            let redrive = async |id: i64| -> u16 {
                let body = r#"{"reason": "the table is back"}"#;
                let answer = client.post(format!("{base}/v1/dead-letters/{id}/redrive")).body(body).send().await;
                answer.expect("answers").status().as_u16()
            };
            fail_commits(&instance.database, "outbox", "true");
            assert_eq!(redrive(1).await, 500);
            let_commits_succeed(&instance.database, "outbox");
            assert_eq!((redrive(2).await, redrive(1).await), (202, 202), "the first can still be redriven");
            let seen = [witness.next(), witness.next()];
            assert_eq!(seen.each_ref().map(|message| message.header("letter")), [Some("second"), Some("first")]);
        });
        witness.stop();
    }
}
