//! An instance of payments without Kafka and without a gateway: what it would send stays in its outbox, and its calls are
//! answered by the test.

use claim_events::{Envelope, Event, PaymentEvent, PaymentMessage};
use dual_db::{Connection, Database};
use event_bus::{IncomingMessage, KafkaSettings, Relay};
use payments::app::Application;
use payments::db;
use payments::db::sagas::StoredSaga;
use payments::domain::saga::{Answer, ClaimUpdate, Input, LookUpAnswer, PayAnswer, PlannedCall, RefundAnswer};
use payments::executor::{ClaimEventRead, Executor, Received};
use payments::gateway::{Answering, Gateway, PayRequest, RefundRequest, Reply};
use payments::settings::Settings;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_support::{OutboxMessage, TestDatabase, execute, take_outbox};

pub const CLAIM: &str = "4fXk0aV1StGXR8Z5jdHi6B";

/// One instance on a database that others may share.
pub struct Instance {
    pub database: Database,
    pub executor: Executor,
}

/// Settings with a lease that is over at once, so that a test need not wait for it.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.kafka = KafkaSettings { brokers: "127.0.0.1:1".to_owned(), ..settings.kafka };
    settings.saga.lease_ms = 1;
    settings.saga.retry_pause_ms = 1;
    settings.saga.max_retry_pause_ms = 1;
    settings
}

impl Instance {
    pub fn new(database: &Database, worker: &str) -> Self {
        Self::with_settings(database, worker, settings())
    }

    pub fn with_settings(database: &Database, worker: &str, settings: Settings) -> Self {
        database.migrate(&[&event_bus::MIGRATIONS, &db::MIGRATIONS]).expect("migrates");
        let marked = database.write(|connection| {
            let now_us = connection.now_us()?;
            db::restore_marker::ensure(connection, now_us)
        });
        marked.expect("marks");
        let relay = Relay::start(database, &settings.kafka).expect("a relay needs no broker to start");
        let executor = Executor::new(database.clone(), relay, Arc::new(settings), worker.to_owned());
        Self { database: database.clone(), executor }
    }

    pub fn receive(&self, event: &ClaimEventRead) -> Vec<PlannedCall> {
        self.hear_all(std::slice::from_ref(event))
    }

    pub fn hear_all(&self, events: &[ClaimEventRead]) -> Vec<PlannedCall> {
        let received: Vec<Received> = events.iter().map(|event| Received::Claim(Box::new(event.clone()))).collect();
        self.executor.apply_events(&received, &[]).expect("applies")
    }

    pub fn answer(&self, call: &PlannedCall, input: Input) -> Vec<PlannedCall> {
        let answer = Answer { claim_id: call.claim_id.clone(), revision: call.revision, input, unclear: None };
        self.executor.apply_answers(&[answer]).expect("writes")
    }

    /// Lets leases and pauses of one millisecond end and takes up what no instance has.
    pub fn resume(&self) -> Vec<PlannedCall> {
        self.let_leases_end();
        self.executor.resume(100).expect("takes up")
    }

    /// What is due within five milliseconds is due now.
    pub fn let_leases_end(&self) {
        let end = |connection: &mut Connection| {
            let soon_us = connection.now_us()? + 5_000;
            let sql = format!(
                "UPDATE sagas SET next_attempt_at_us = next_attempt_at_us - 5000 WHERE next_attempt_at_us <= {soon_us}"
            );
            execute(connection, &sql)
        };
        self.database.write(end).expect("leases end");
    }

    pub fn saga(&self, claim_id: &str) -> StoredSaga {
        self.database.read(|c| db::sagas::find(c, claim_id)).expect("reads").expect("there is a saga")
    }

    pub fn transfer_kinds(&self, claim_id: &str) -> Vec<String> {
        let transfers = self.database.read(|c| db::ledger::of_claim(c, claim_id)).expect("reads");
        let mut kinds: Vec<String> = transfers.into_iter().map(|transfer| transfer.kind.to_string()).collect();
        kinds.sort();
        kinds
    }

    /// Takes what waits out of the outbox, as Kafka would, and reads the outcomes.
    pub fn delivered(&self) -> Vec<(Envelope, PaymentEvent)> {
        let delivered = self.delivered_messages().into_iter();
        delivered
            .filter_map(|(envelope, message)| match message {
                PaymentMessage::Outcome(outcome) => Some((envelope, outcome)),
                PaymentMessage::Attention(_) => None,
            })
            .collect()
    }

    /// The same, with what informs of attention.
    pub fn delivered_messages(&self) -> Vec<(Envelope, PaymentMessage)> {
        take_outbox(&self.database).iter().map(read).collect()
    }

    pub fn published(&self) -> i64 {
        self.database.read(event_bus::pending_in_outbox).expect("counts")
    }

    pub fn dead_letters(&self) -> i64 {
        self.database.read(event_bus::count_dead_letters).expect("counts")
    }

    pub fn books_off(&self) -> usize {
        self.database.read(|c| db::ledger::books_that_are_off(c, 100)).expect("audits").len()
    }
}

fn read(message: &OutboxMessage) -> (Envelope, PaymentMessage) {
    let OutboxMessage { message_key, headers, body, .. } = message;
    let headers: Vec<(String, String)> = serde_json::from_str(headers).expect("pairs");
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    PaymentMessage::decode(Some(message_key.as_bytes()), header, body.as_bytes()).expect("a message of the contract")
}

/// Runs `test` against a service that listens on its own address, with this database, no Kafka and no gateway, beside an
/// instance that is driven by hand.
pub fn with_application(
    test: &TestDatabase,
    change: impl FnOnce(&mut Settings),
    run: impl AsyncFnOnce(String, Instance),
) {
    let mut settings = settings();
    settings.http.port = 0;
    settings.database = test.settings().clone();
    settings.gateway.url = "http://127.0.0.1:1".to_owned();
    settings.kafka.producer.flush_timeout_ms = 100;
    settings.saga.resume_interval_ms = 3_600_000;
    change(&mut settings);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let application = Application::build(settings).expect("starts");
        let base = format!("http://127.0.0.1:{}", application.port());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(application.run_until(async {
            // An end without a word is an end, too.
            let _ = stopped.await;
        }));
        run(base, Instance::new(test.database(), "by hand")).await;
        drop(stop);
        running.await.expect("no panic").expect("stops");
    });
}

/// A claim's event: version 1 submits, 2 voids.
pub fn event(claim_id: &str, amount_cents: i64, version: i64) -> ClaimEventRead {
    let message = IncomingMessage {
        topic: "claims.claim.v1".into(),
        partition: 0,
        offset: version,
        time_ms: 0,
        key: Some(claim_id.as_bytes().to_vec()),
        headers: vec![],
        body: vec![],
    };
    ClaimEventRead {
        update: ClaimUpdate {
            claim_id: claim_id.into(),
            plan_group: "GRP-1000".into(),
            provider_npi: "1497775530".into(),
            amount_cents,
            // In the year 2100: later than any database's marker.
            submitted_at_us: 4_102_444_800_000_000,
            version,
            resync_epoch: 0,
            known: None,
            too_late: false,
        },
        content_hash: format!("{amount_cents}"),
        event_id: format!("{claim_id}.event.{version}"),
        correlation_id: "req-1".into(),
        traceparent: None,
        message,
    }
}

pub fn reconcile(answer: LookUpAnswer) -> Input {
    Input::LookedUp { answer, key_expired: false }
}

pub fn approved(amount_cents: i64) -> Input {
    Input::PayAnswer(PayAnswer::Approved { amount_cents })
}

pub fn declined() -> Input {
    Input::PayAnswer(PayAnswer::Declined { code: "insufficient_funds".into() })
}

pub fn unknown() -> Input {
    Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: None })
}

pub fn refunded() -> Input {
    Input::RefundAnswer(RefundAnswer::Refunded)
}

/// A gateway that approves every payment and counts them.
#[derive(Default)]
pub struct Approving {
    answers: Answers,
    asked: AtomicUsize,
}

/// When a gateway answers.
#[derive(Default)]
enum Answers {
    #[default]
    AtOnce,
    After(Duration),
    Never,
}

impl Approving {
    /// One whose calls take so long, for tests of what this means for leases.
    pub fn slow(takes: Duration) -> Self {
        Self { answers: Answers::After(takes), asked: AtomicUsize::default() }
    }

    /// One that takes calls and answers none.
    pub fn hanging() -> Self {
        Self { answers: Answers::Never, asked: AtomicUsize::default() }
    }

    /// How often it was asked to pay.
    pub fn payments(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Gateway for Approving {
    fn pay<'a>(&'a self, request: PayRequest<'a>) -> Answering<'a, Reply<PayAnswer>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.answers {
                Answers::AtOnce => {}
                // The latency is what is tested.
                Answers::After(takes) => tokio::time::sleep(takes).await,
                Answers::Never => std::future::pending().await,
            }
            Reply::answered(PayAnswer::Approved { amount_cents: request.amount_cents })
        })
    }

    fn refund<'a>(&'a self, _: RefundRequest<'a>) -> Answering<'a, Reply<RefundAnswer>> {
        Box::pin(async move { Reply::answered(RefundAnswer::Refunded) })
    }

    fn look_up<'a>(&'a self, _: &'a str, _: &'a str) -> Answering<'a, Reply<LookUpAnswer>> {
        Box::pin(async move { Reply::answered(LookUpAnswer::NotFound) })
    }

    fn check(&self) -> Answering<'_, Result<(), String>> {
        Box::pin(async move { Ok(()) })
    }
}
