//! How the service applies the outcomes that payments publishes on `payments.payment.v1`.

use crate::kafka::{Kafka, settled, unwound};
use crate::service::{Answer, PROVIDERS, assert_totals_agree, claim, with_settings};
use crate::submitted::{Submitted, handled, submit, with_submitted, with_submitted_and};
use claim_events::{Cause, ClaimEvent, Compensation, Event, KnownOutcome, OutcomeKind, PaymentEvent, Unwound};
use claim_process::settings::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use test_support::{TestDatabase, count, execute, on_both_databases};

/// When a claim is due that is not to be re-requested while a test looks at it, in microseconds since 1970: in nine minutes, as
/// no claim is due later than after ten.
static NOT_DUE_YET_US: LazyLock<i64> = LazyLock::new(|| {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later") + Duration::from_secs(540);
    i64::try_from(at.as_micros()).expect("it is not that late")
});

fn next_attempt_at(database: &TestDatabase, id: &str, at_us: i64) {
    let sql = format!("UPDATE claims SET next_attempt_at_us = {at_us} WHERE claim_id = '{id}'");
    database.database().write(|connection| execute(connection, &sql)).expect("writes");
}

/// Asserts that nothing has changed when a claim is due that was not due yet, and that it is published again when it is.
async fn assert_still_requested(database: &TestDatabase, kafka: &Kafka, id: &str) {
    let due = format!("claims WHERE claim_id = '{id}' AND next_attempt_at_us = {}", *NOT_DUE_YET_US);
    assert_eq!(count(database.database(), &due), 1, "it is due when it was due before");
    next_attempt_at(database, id, 1);
    // Claims that waited for what is before them to be handled were published meanwhile.
    while kafka.published(1).await[0].key != id {}
}

on_both_databases! {
    fn a_settlement_is_recorded(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            kafka.outcome(1, &settled(&id, 8_125));
            let claim = service.claim_with_status(&id, "settled").await;
            let at = claim["outcome"]["at"].as_str().expect("a time");
            assert_eq!(
                claim["outcome"],
                json!({"type": "payment.settled", "version": 1, "at": at, "amount": "81.25"})
            );
            let expected = json!([
                {"at": claim["submitted_at"], "event": "claim.submitted"},
                {"at": at, "event": "payment.settled"},
            ]);
            assert_eq!(claim["timeline"], expected);
            assert!(claim["submitted_at"].as_str().unwrap() <= at);
            assert_eq!(count(database.database(), "claims WHERE next_attempt_at_us IS NOT NULL"), 0, "it is not re-requested");
            // Again: nothing happens twice.
            kafka.outcome(1, &settled(&id, 8_125));
            handled(&service, kafka, partition).await;
            assert_eq!(service.claim(&id).await, claim);
        });
        assert_eq!(count(database.database(), "dead_letters"), 0);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (8_125, 1));
    }

    fn an_unwinding_takes_the_net_fee_out_of_the_total_once(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            let (other, _) = submit(&service, kafka).await;
            assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (16_250, 2));
            for _ in 0..3 {
                kafka.outcome(1, &PaymentEvent::Unwound(unwound(&id)));
            }
            // A newer version of the same, which only updates the detail.
            let newer = Unwound {
                cause: Cause::Operator,
                failed_step: None,
                compensations: vec![Compensation::Reverse],
                ..unwound(&id)
            };
            kafka.outcome(3, &PaymentEvent::Unwound(newer));
            kafka.outcome(1, &PaymentEvent::Unwound(unwound(&id)));
            handled(&service, kafka, partition).await;
            let claim = service.claim(&id).await;
            assert_eq!(claim["status"], "unwound");
            assert_eq!(
                claim["outcome"],
                json!({
                    "type": "payment.unwound", "version": 3, "at": claim["outcome"]["at"], "cause": "operator", "failed_step": null,
                    "reason_code": "declined", "reason": "the gateway declined the payment", "compensations": ["reverse"],
                })
            );
            let events: Vec<&Value> =
                claim["timeline"].as_array().unwrap().iter().map(|entry| &entry["event"]).collect();
            assert_eq!(events, ["claim.submitted", "payment.unwound", "payment.unwound"]);
            assert_eq!(service.claim(&other).await["status"], "submitted");
            assert_eq!(service.claim(&id).await["net_fee"], "81.25", "what the claim was stays");
        });
        assert_eq!(count(database.database(), "dead_letters"), 0);
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (8_125, 1));
    }

    fn the_steps_of_an_unwinding_are_shown_in_the_order_done(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, .. }| {
            kafka.outcome(1, &PaymentEvent::Unwound(unwound(&id)));
            let claim = service.claim_with_status(&id, "unwound").await;
            assert_eq!(claim["outcome"]["failed_step"], "disburse");
            assert_eq!(claim["outcome"]["compensations"], json!(["refund", "release"]));
            assert_eq!(claim["outcome"]["cause"], "step_failed");
            let top = service.get("/v1/providers/top").await;
            assert_eq!(top.body["providers"], json!([]), "a provider without claims that count is not listed");
        });
    }

    fn a_late_return_unwinds_a_settled_claim_and_is_acknowledged_each_time(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            kafka.outcome(1, &settled(&id, 8_125));
            service.claim_with_status(&id, "settled").await;
            let returned = Unwound {
                unsolicited: true,
                cause: Cause::LateReturn,
                failed_step: None,
                reason_code: None,
                reason: None,
                compensations: vec![Compensation::Reverse],
                ..unwound(&id)
            };
            let returned = PaymentEvent::Unwound(returned);
            // Twice: payments publishes it again until it is acknowledged, and an acknowledgement may get lost as well.
            for _ in 0..2 {
                kafka.outcome(2, &returned);
                let published = kafka.published(1).await.remove(0);
                let (envelope, event) = published.decode();
                let ClaimEvent::OutcomeRecorded(recorded) = event else { panic!("{event:?}") };
                assert_eq!(recorded.claim_id, id);
                assert_eq!(recorded.known_outcome, KnownOutcome { kind: OutcomeKind::Unwound, version: 2 });
                assert_eq!((published.partition, envelope.version), (partition, 2));
                assert_eq!(envelope.id, format!("{id}.claim.outcome_recorded.2"));
                assert_eq!(envelope.causation_id, format!("{id}.payment.unwound.2"));
                let claim = service.claim(&id).await;
                assert_eq!(claim["status"], "unwound");
                assert_eq!(envelope.time, claim["outcome"]["at"], "when it was recorded");
            }
            // An older outcome that was delayed for long: it is acknowledged with the recorded outcome, too.
            let old =
                PaymentEvent::Settled(claim_events::Settled { unsolicited: true, ..as_settled(settled(&id, 8_125)) });
            kafka.outcome(1, &old);
            let ClaimEvent::OutcomeRecorded(recorded) = kafka.published(1).await.remove(0).decode().1 else {
                panic!("another event")
            };
            assert_eq!(recorded.known_outcome, KnownOutcome { kind: OutcomeKind::Unwound, version: 2 });
            assert_eq!(service.claim(&id).await["status"], "unwound");
        });
        assert!(assert_totals_agree(database.database()).is_empty());
        assert_eq!(count(database.database(), "dead_letters"), 0);
    }

    fn unwound_stays_unwound_in_any_order_of_outcomes(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            kafka.outcome(2, &PaymentEvent::Unwound(unwound(&id)));
            kafka.outcome(1, &settled(&id, 8_125));
            kafka.outcome(3, &settled(&id, 8_125));
            handled(&service, kafka, partition).await;
            let claim = service.claim(&id).await;
            assert_eq!((&claim["status"], &claim["outcome"]["version"]), (&json!("unwound"), &json!(2)));
        });
        assert!(!assert_totals_agree(database.database()).contains_key(PROVIDERS[0]));
    }

    fn a_settlement_of_any_later_version_changes_nothing_of_an_unwound_claim(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            kafka.outcome(2, &PaymentEvent::Unwound(unwound(&id)));
            let unwound = service.claim_with_status(&id, "unwound").await;
            for version in [3, 4, 5, 1_000_000_000] {
                kafka.outcome(version, &settled(&id, 8_125));
            }
            handled(&service, kafka, partition).await;
            assert_eq!(service.claim(&id).await, unwound, "status, outcome and timeline");
        });
        assert!(!assert_totals_agree(database.database()).contains_key(PROVIDERS[0]));
        assert_eq!(count(database.database(), "dead_letters"), 0);
    }

    fn a_voided_claim_is_rerequested_after_any_settlement(database: &TestDatabase) {
        let change = |settings: &mut Settings| settings.watchdog.interval_ms = 20;
        with_submitted_and(database, change, async |Submitted { service, kafka, id, partition }| {
            let void = service.request(Method::POST, &format!("/v1/claims/{id}/void"));
            assert_eq!(Answer::of(void.json(&json!({"reason": "a slip"}))).await.status, 202);
            assert_eq!(kafka.published(1).await[0].key, id);
            next_attempt_at(database, &id, *NOT_DUE_YET_US);
            // The settlement, its repeat, and one that contradicts it.
            kafka.outcome(1, &settled(&id, 8_125));
            kafka.outcome(1, &settled(&id, 8_125));
            kafka.outcome(1, &settled(&id, 8_124));
            handled(&service, kafka, partition).await;
            let claim = service.claim(&id).await;
            assert_eq!((&claim["status"], &claim["outcome"]["amount"]), (&json!("void_requested"), &json!("81.25")));
            assert_eq!(count(database.database(), "dead_letters"), 1, "the contradiction");
            assert_still_requested(database, kafka, &id).await;
        });
        assert_eq!(assert_totals_agree(database.database())[PROVIDERS[0]], (8_125, 1));
    }

    fn a_claim_is_rerequested_until_an_outcome_echoes_its_epoch_and_agrees(database: &TestDatabase) {
        let change = |settings: &mut Settings| settings.watchdog.interval_ms = 20;
        with_submitted_and(database, change, async |Submitted { service, kafka, id, partition }| {
            kafka.outcome(1, &settled(&id, 8_125));
            let before = service.claim_with_status(&id, "settled").await;
            let raised = format!("UPDATE claims SET resync_epoch = 5, next_attempt_at_us = {} WHERE claim_id = '{id}'", *NOT_DUE_YET_US);
            database.database().write(|connection| execute(connection, &raised)).unwrap();
            let settlement = |resync_epoch: i64, amount_cents: i64| {
                PaymentEvent::Settled(claim_events::Settled { resync_epoch, ..as_settled(settled(&id, amount_cents)) })
            };
            // Outcomes of older epochs: the recorded one, a contradiction, a newer one.
            for resync_epoch in [0, 4] {
                kafka.outcome(1, &settlement(resync_epoch, 8_125));
                kafka.outcome(1, &settlement(resync_epoch, 8_124));
                kafka.outcome(1, &PaymentEvent::Unwound(Unwound { resync_epoch, ..unwound(&id) }));
                kafka.outcome(2, &PaymentEvent::Unwound(Unwound { resync_epoch, ..unwound(&id) }));
            }
            handled(&service, kafka, partition).await;
            assert_eq!(count(database.database(), "dead_letters"), 0, "an outcome of an older epoch is ignored");
            // A contradiction under the same version and of this epoch: an operator has to find out which is true.
            kafka.outcome(1, &settlement(5, 8_124));
            kafka.outcome(1, &PaymentEvent::Unwound(Unwound { resync_epoch: 5, ..unwound(&id) }));
            handled(&service, kafka, partition).await;
            assert_eq!(count(database.database(), "dead_letters"), 2);
            assert_eq!(service.claim(&id).await, before);
            assert_still_requested(database, kafka, &id).await;

            kafka.outcome(1, &settlement(5, 8_125));
            handled(&service, kafka, partition).await;
            assert_eq!(count(database.database(), "claims WHERE next_attempt_at_us IS NOT NULL"), 0, "it is answered");
            assert_eq!(service.claim(&id).await, before);
        });
    }

    fn an_outcome_of_an_older_resync_epoch_changes_nothing(database: &TestDatabase) {
        with_submitted(database, async |Submitted { service, kafka, id, partition }| {
            database.database().write(|c| execute(c, "UPDATE claims SET resync_epoch = 5")).unwrap();
            for resync_epoch in [0, 4] {
                kafka.outcome(
                    1,
                    &PaymentEvent::Settled(claim_events::Settled { resync_epoch, ..as_settled(settled(&id, 8_125)) }),
                );
                kafka.outcome(1, &PaymentEvent::Unwound(Unwound { resync_epoch, ..unwound(&id) }));
            }
            handled(&service, kafka, partition).await;
            let claim = service.claim(&id).await;
            assert_eq!((&claim["status"], &claim["outcome"]), (&json!("submitted"), &Value::Null));
            let due = format!("claims WHERE claim_id = '{id}' AND next_attempt_at_us IS NOT NULL");
            assert_eq!(count(database.database(), &due), 1, "it still waits for its answer");
            kafka.outcome(
                1,
                &PaymentEvent::Settled(claim_events::Settled { resync_epoch: 5, ..as_settled(settled(&id, 8_125)) }),
            );
            service.claim_with_status(&id, "settled").await;
        });
        assert_eq!(count(database.database(), "dead_letters"), 0);
    }

    fn a_batch_of_all_sorts_leaves_the_totals_right(database: &TestDatabase) {
        let kafka = Kafka::start();
        with_settings(
            database,
            |settings| kafka.configure(settings),
            async |service| {
                let mut ids = Vec::new();
                for n in 0..40 {
                    ids.push(service.accepted(&claim(PROVIDERS[n % 3], &format!("{n}.07"))).await);
                }
                for (n, id) in ids.iter().enumerate() {
                    for _ in 0..=n % 2 {
                        match n % 4 {
                            0 => kafka.outcome(1, &settled(id, 1)),
                            1 => kafka.outcome(1, &PaymentEvent::Unwound(unwound(id))),
                            2 => {
                                kafka.outcome(1, &settled(id, 1));
                                kafka.outcome(2, &PaymentEvent::Unwound(unwound(id)));
                            }
                            _ => {
                                kafka.outcome(2, &PaymentEvent::Unwound(unwound(id)));
                                kafka.outcome(1, &settled(id, 1));
                            }
                        }
                    }
                }
                for (n, id) in ids.iter().enumerate() {
                    service.claim_with_status(id, if n % 4 == 0 { "settled" } else { "unwound" }).await;
                }
            },
        );
        let totals = assert_totals_agree(database.database());
        assert_eq!(totals.values().map(|(_, claims)| claims).sum::<i64>(), 10);
        assert_eq!(count(database.database(), "dead_letters"), 0);
    }
}

fn as_settled(event: PaymentEvent) -> claim_events::Settled {
    match event {
        PaymentEvent::Settled(settled) => settled,
        PaymentEvent::Unwound(_) => panic!("{} is no settlement", event.event_type()),
    }
}
