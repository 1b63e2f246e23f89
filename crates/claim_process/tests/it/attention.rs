//! A claim needs attention for the watchdog's reason, for that of payments, or both; each is cleared by itself.

use crate::kafka::{encoded, settled};
use crate::service::{PROVIDERS, Service, claim, with_service};
use crate::void::void;
use claim_events::{Encoded, Event, PAYMENT_TOPIC, PaymentAttention, PaymentMessage};
use claim_process::events::outcomes::Outcomes;
use claim_process::events::reannounce::reannounce;
use claim_process::events::watchdog::request_overdue_outcomes;
use claim_process::settings::{Settings, WatchdogSettings};
use claim_process::waiting;
use dual_db::Database;
use event_bus::{Handler, IncomingMessage, KafkaSettings, Relay};
use serde_json::{Value, json};
use std::sync::Arc;
use test_support::{Tally, TestDatabase, count, execute, on_both_databases};

/// The consumer of a second instance, which gets its messages from the test.
struct Consumer {
    relay: Arc<Relay>,
    outcomes: Outcomes,
}

impl Consumer {
    fn of(database: &Database) -> Self {
        let kafka = KafkaSettings { brokers: "127.0.0.1:1".to_owned(), ..Settings::default().kafka };
        let relay = Relay::start(database, &kafka).expect("starts");
        Self { outcomes: Outcomes::new(Arc::clone(&relay)), relay }
    }

    fn handle(&mut self, messages: impl IntoIterator<Item = Encoded>) {
        let batch: Vec<IncomingMessage> = messages.into_iter().map(incoming).collect();
        self.outcomes.handle(&batch).expect("applies");
    }

    /// As the watchdog does once the outcome of every claim is overdue.
    fn request_again(&self, database: &Database) {
        let watchdog = WatchdogSettings { attention_after: 1, ..Settings::default().watchdog };
        database.write(|c| execute(c, "UPDATE claims SET next_attempt_at_us = 1")).expect("writes");
        request_overdue_outcomes(database, &self.relay, &watchdog).expect("requests");
    }
}

fn incoming(Encoded { key, headers, body, .. }: Encoded) -> IncomingMessage {
    IncomingMessage {
        topic: PAYMENT_TOPIC.to_owned(),
        partition: 0,
        offset: 1,
        time_ms: 1,
        key: Some(key.into_bytes()),
        headers: headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
        body: body.into_bytes(),
    }
}

/// `payment.attention` under a revision: raised for a reason, or cleared.
fn attention(claim_id: &str, revision: i64, reason: Option<&str>) -> Encoded {
    of_epoch(claim_id, revision, reason, 0)
}

fn of_epoch(claim_id: &str, revision: i64, reason: Option<&str>, resync_epoch: i64) -> Encoded {
    let attention = PaymentAttention {
        claim_id: claim_id.to_owned(),
        resync_epoch,
        raised: reason.is_some(),
        reason: reason.map(str::to_owned),
    };
    let time = "2026-11-22T09:30:00.123456Z".to_owned();
    PaymentMessage::Attention(attention).encode(revision, time, "request", "cause", None)
}

/// What a claim, the list and the reconciliation show, which must agree.
async fn shown(service: &Service, id: &str) -> Value {
    let claim = service.claim(id).await;
    let needed = claim["needs_attention"] == true;
    assert_eq!(needed, claim["attention"].is_object(), "{claim}");
    let listed = service.get("/v1/claims?needs_attention=true").await.body["claims"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(usize::from(needed)), "{listed}");
    let sums = service.get("/v1/reconciliation").await.body;
    assert_eq!(sums["needs_attention"]["claims"], i64::from(needed), "{sums}");
    let named = if needed { claim["attention"].clone() } else { Value::Null };
    assert_eq!(sums["needing_attention"][0]["attention"], named, "{sums}");
    claim["attention"].clone()
}

on_both_databases! {
    fn each_reason_is_shown_and_cleared_by_itself(test: &TestDatabase) {
        with_service(test, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            assert_eq!(shown(&service, &id).await, Value::Null);
            let mut consumer = Consumer::of(test.database());
            let before = service.claim(&id).await;

            consumer.handle([attention(&id, 7, Some("503 again and again"))]);
            assert_eq!(shown(&service, &id).await, json!({"payment": "503 again and again", "outcome": null}));
            consumer.request_again(test.database());
            let both = json!({"payment": "503 again and again", "outcome": "no outcome after 1 requests"});
            assert_eq!(shown(&service, &id).await, both);
            consumer.handle([attention(&id, 8, None)]);
            assert_eq!(shown(&service, &id).await, json!({"payment": null, "outcome": "no outcome after 1 requests"}));
            consumer.request_again(test.database());
            consumer.handle([attention(&id, 12, Some("again"))]);
            assert_eq!(shown(&service, &id).await, json!({"payment": "again", "outcome": "no outcome after 2 requests"}));
            let claim = service.claim(&id).await;
            for unchanged in ["status", "outcome", "timeline"] {
                assert_eq!(claim[unchanged], before[unchanged], "it is informational");
            }

            // A void ends the watchdog's reason: its event was not requested yet. Its payment is stuck as before.
            let voided = void(&service, &id).await;
            assert_eq!(voided.body["attention"], json!({"payment": "again", "outcome": null}));
            // A settlement does not answer the void, so it ends nothing.
            consumer.handle([encoded(1, &settled(&id, 8_125))]);
            assert_eq!(shown(&service, &id).await, json!({"payment": "again", "outcome": null}));
            let unwound = claim_events::PaymentEvent::Unwound(crate::kafka::unwound(&id));
            consumer.handle([encoded(2, &unwound)]);
            assert_eq!(shown(&service, &id).await, Value::Null);
            consumer.relay.stop();
        });
    }

    fn attention_that_comes_late_twice_or_out_of_order_changes_nothing(test: &TestDatabase) {
        with_service(test, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            let mut consumer = Consumer::of(test.database());
            let payment = async |reason: Option<&str>| {
                let expected = reason.map_or(Value::Null, |reason| json!({"payment": reason, "outcome": null}));
                assert_eq!(shown(&service, &id).await, expected);
            };
            consumer.handle([attention(&id, 5, None), attention(&id, 4, Some("late"))]);
            payment(None).await;
            consumer.handle([attention(&id, 9, Some("stuck")), attention(&id, 9, Some("stuck")), attention(&id, 8, None)]);
            payment(Some("stuck")).await;
            // A settlement ends it, also if the end of it comes late, or not at all.
            consumer.handle([encoded(1, &settled(&id, 8_125)), attention(&id, 9, Some("stuck"))]);
            payment(None).await;
            consumer.handle([attention(&id, 10, None), attention(&id, 9, Some("stuck"))]);
            payment(None).await;
            // A claim that ended can still have a payment that needs a person.
            consumer.handle([attention(&id, 11, Some("not recorded"))]);
            payment(Some("not recorded")).await;
            // Of a claim that is not there nothing can be shown; the other messages are applied.
            consumer.handle([attention("AAAAAAAAAAAAAAAAAAAAAA", 1, Some("stuck")), attention(&id, 12, None)]);
            payment(None).await;
            assert_eq!(count(test.database(), "dead_letters"), 0);
            consumer.relay.stop();
        });
    }

    fn revisions_begin_again_with_a_new_resync_epoch(test: &TestDatabase) {
        with_service(test, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            let mut consumer = Consumer::of(test.database());
            consumer.handle([attention(&id, 40, Some("before the loss"))]);
            let epoch = reannounce(test.database(), None, |_| ()).expect("raises").resync_epoch;
            assert_eq!(shown(&service, &id).await, Value::Null, "what was known is of a database that is lost");
            consumer.handle([of_epoch(&id, 41, Some("before the loss"), epoch - 1)]);
            assert_eq!(shown(&service, &id).await, Value::Null);
            consumer.handle([of_epoch(&id, 3, Some("after the loss"), epoch)]);
            assert_eq!(shown(&service, &id).await["payment"], "after the loss");
            consumer.relay.stop();
        });
    }

    fn the_gauges_of_what_waits_for_a_person_fall_when_it_is_dealt_with(test: &TestDatabase) {
        let database = test.database();
        with_service(test, async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
            let mut consumer = Consumer::of(database);
            let gauge = |name| {
                let tally = Tally::of(name);
                metrics::with_local_recorder(&tally, || waiting::count(database)).expect("counts");
                tally.gauge()
            };
            let gauges = || ["claims_needing_attention", "dead_letters_waiting"].map(gauge);
            let is = |expected: [f64; 2]| assert!(gauges().iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.5), "{:?}", gauges());
            is([0.0, 0.0]);
            // An outcome of a claim that is not there is a dead letter.
            consumer.handle([attention(&id, 1, Some("stuck")), encoded(1, &settled("AAAAAAAAAAAAAAAAAAAAAA", 1))]);
            is([1.0, 1.0]);
            consumer.handle([attention(&id, 2, None)]);
            database.write(|c| execute(c, "UPDATE dead_letters SET state = 'discarded'")).expect("writes");
            is([0.0, 0.0]);
            consumer.relay.stop();
        });
    }
}
