//! A payment that becomes stuck, or no longer is, informs claim_process once in the same transaction, and again when its claim is
//! re-requested.

use crate::harness::{CLAIM, Instance, approved, event, settings, unknown};
use claim_events::{PaymentAttention, PaymentMessage};
use dual_db::Database;
use payments::domain::saga::{Answer, ClaimUpdate, Forced, PlannedCall};
use payments::executor::ClaimEventRead;
use payments::executor::operator::{Action, ActionOutcome, Actor};
use payments::worker::count_stuck;
use test_support::{Tally, execute, fail_commits, let_commits_succeed, on_both_databases};

fn instance(database: &Database) -> Instance {
    let mut few = settings();
    few.saga.stuck_after_attempts = 2;
    Instance::with_settings(database, "one", few)
}

/// The `payment.attention` messages that went out since the last call, each with its revision.
fn informed(instance: &Instance) -> Vec<(i64, PaymentAttention)> {
    let messages = instance.delivered_messages().into_iter();
    messages
        .filter_map(|(envelope, message)| match message {
            PaymentMessage::Attention(attention) => Some((envelope.version, attention)),
            PaymentMessage::Outcome(_) => None,
        })
        .collect()
}

/// The only one, and that it has the saga's revision.
fn only(instance: &Instance) -> PaymentAttention {
    let (revision, attention) = informed(instance).pop().expect("it informs of attention");
    assert!(informed(instance).is_empty());
    assert_eq!(instance.saga(CLAIM).attention_revision, revision);
    assert_eq!((attention.raised, attention.claim_id.as_str()), (attention.reason.is_some(), CLAIM));
    attention
}

/// Answers with 503.
fn busy(instance: &Instance, call: &PlannedCall) {
    let answer = Answer {
        claim_id: call.claim_id.clone(),
        revision: call.revision,
        input: unknown(),
        unclear: Some("503".to_owned()),
    };
    instance.executor.apply_answers(&[answer]).expect("writes");
}

/// Becomes stuck; the call that is made then.
fn become_stuck(instance: &Instance, calls: Vec<PlannedCall>) -> PlannedCall {
    busy(instance, &calls[0]);
    assert!(informed(instance).is_empty(), "it is not stuck yet");
    busy(instance, &instance.resume()[0]);
    instance.resume().remove(0)
}

fn act(instance: &Instance, action: Action) -> Vec<PlannedCall> {
    let by = Actor { reason: "because".into(), operator: None, client: "192.0.2.7".into() };
    match instance.executor.act(CLAIM, action, &by).expect("acts") {
        ActionOutcome::Done(calls) => calls,
        refused => panic!("{refused:?}"),
    }
}

on_both_databases! {
    fn a_payment_informs_once_that_it_is_stuck_and_once_that_it_no_longer_is(database: &Database) {
        let instance = instance(database);
        let call = become_stuck(&instance, instance.receive(&event(CLAIM, 100, 1)));
        let raised = only(&instance);
        let reason = "the gateway gave no definite answer to 2 requests (the last: 503); the request is still being sent";
        assert_eq!(raised.reason.as_deref(), Some(reason));
        assert_eq!(instance.saga(CLAIM).last_answer.as_deref(), Some("503"));
        // It stays stuck: nothing new is known.
        busy(&instance, &call);
        let call = instance.resume().remove(0);
        assert!(informed(&instance).is_empty());
        let before = instance.saga(CLAIM).attention_revision;
        instance.answer(&call, approved(100));
        assert_eq!(only(&instance).reason, None);
        let ended = instance.saga(CLAIM);
        assert!(ended.attention_revision > before, "a reader can tell which comes later");
        assert_eq!((ended.stuck_reason, ended.last_answer), (None, None));
    }

    fn an_operators_retry_and_force_end_the_attention(database: &Database) {
        let instance = instance(database);
        become_stuck(&instance, instance.receive(&event(CLAIM, 100, 1)));
        assert!(only(&instance).raised);
        let calls = act(&instance, Action::Retry);
        assert!(!only(&instance).raised);
        // The gateway is not back.
        become_stuck(&instance, calls);
        assert!(only(&instance).raised);
        act(&instance, Action::Force(Some(Forced::Paid)));
        assert!(!only(&instance).raised);
    }

    fn a_lost_message_is_sent_again_when_the_claim_is_requested_again(database: &Database) {
        let instance = instance(database);
        instance.receive(&event(CLAIM, 100, 1));
        let calls = instance.receive(&event(CLAIM, 100, 1));
        assert!(calls.is_empty() && informed(&instance).is_empty(), "of a payment that was never stuck there is nothing to inform");
        let call = become_stuck(&instance, instance.resume());
        let (revision, raised) = informed(&instance).remove(0);
        let again = ClaimEventRead {
            update: ClaimUpdate { resync_epoch: 5, ..event(CLAIM, 100, 1).update },
            ..event(CLAIM, 100, 1)
        };
        for _ in 0..2 {
            instance.receive(&again);
            let expected = PaymentAttention { resync_epoch: 5, ..raised.clone() };
            assert_eq!(informed(&instance), [(revision, expected)], "under the same id");
        }
        // While Kafka is away, it waits once.
        (0..3).for_each(|_| drop(instance.receive(&again)));
        assert_eq!(informed(&instance).len(), 1);
        instance.answer(&instance.resume().pop().unwrap_or(call), approved(100));
        let (revision, cleared) = informed(&instance).remove(0);
        instance.receive(&again);
        assert_eq!(informed(&instance), [(revision, cleared)]);
    }

    fn a_payment_whose_write_is_rolled_back_informs_of_nothing(database: &Database) {
        let instance = instance(database);
        let calls = instance.receive(&event(CLAIM, 100, 1));
        busy(&instance, &calls[0]);
        let call = instance.resume().remove(0);
        let answer = Answer { claim_id: CLAIM.into(), revision: call.revision, input: unknown(), unclear: None };
        fail_commits(database, "outbox", "NEW.event_id LIKE '%.payment.attention.%'");
        instance.executor.apply_answers(std::slice::from_ref(&answer)).expect_err("the COMMIT fails");
        assert!(informed(&instance).is_empty());
        assert_eq!(instance.saga(CLAIM).stuck_reason, None);
        let_commits_succeed(database, "outbox");
        instance.executor.apply_answers(&[answer]).expect("writes");
        assert!(only(&instance).raised);
    }

    fn a_payment_whose_facts_cannot_be_read_informs_of_it_once(database: &Database) {
        let instance = instance(database);
        instance.receive(&event(CLAIM, 100, 1));
        let facts = |sql: &str| database.write(|c| execute(c, sql)).expect("writes");
        facts("CREATE TABLE facts_before AS SELECT facts FROM sagas");
        facts("UPDATE sagas SET facts = '{\"resync_epoch\": 7, \"of\": \"a newer version\"}'");
        assert!(instance.resume().is_empty());
        let (revision, raised) = informed(&instance).remove(0);
        assert!(raised.reason.expect("why").contains("cannot be read"));
        assert_eq!(raised.resync_epoch, 7);
        assert!(instance.resume().is_empty());
        assert!(informed(&instance).is_empty());
        facts("UPDATE sagas SET facts = (SELECT facts FROM facts_before)");
        instance.answer(&instance.resume()[0], approved(100));
        let (later, cleared) = informed(&instance).remove(0);
        assert!(!cleared.raised && later > revision);
    }

    fn the_gauges_of_what_waits_fall_when_it_is_dealt_with(database: &Database) {
        let instance = instance(database);
        let is = |expected: [f64; 3]| {
            for (name, expected) in ["payments_stuck", "gateway_returns_waiting", "dead_letters_waiting"].into_iter().zip(expected) {
                let tally = Tally::of(name);
                metrics::with_local_recorder(&tally, || count_stuck(database)).expect("counts");
                assert!((tally.gauge() - expected).abs() < 0.5, "{name}: {}", tally.gauge());
            }
        };
        is([0.0, 0.0, 0.0]);
        become_stuck(&instance, instance.receive(&event(CLAIM, 100, 1)));
        instance.executor.apply_return("return-1", "another00000000000000A", 100).expect("keeps");
        // The same claim with another content is dead-lettered.
        instance.receive(&event(CLAIM, 101, 1));
        is([1.0, 1.0, 1.0]);
        act(&instance, Action::Force(Some(Forced::Paid)));
        let done = database.write(|connection| {
            execute(connection, "UPDATE dead_letters SET state = 'discarded'")?;
            execute(connection, "UPDATE gateway_returns SET applied_at_us = 1")
        });
        done.expect("writes");
        is([0.0, 0.0, 0.0]);
    }
}
