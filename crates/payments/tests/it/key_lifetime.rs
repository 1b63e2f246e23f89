//! A payment's key is sent again only as long as the gateway remembers it: under one that is forgotten the same claim would be
//! paid a second time.

use crate::harness::{CLAIM, Instance, approved, event, reconcile, settings, unknown};
use claim_events::OutcomeKind;
use diesel::{RunQueryDsl, sql_query};
use dual_db::{Database, on_each_backend};
use payments::db::restore_marker;
use payments::domain::saga::{Call, Forced, LookUpAnswer, Trust};
use payments::executor::operator::{Action, ActionOutcome, Actor};
use payments::executor::returns::ReturnOutcome;
use test_support::{execute, on_both_databases};

/// Makes each saga 25 hours older: the gateway remembers for a day.
fn a_day_passes(database: &Database) {
    let passes = database.write(|c| {
        on_each_backend!(c, |c| sql_query("UPDATE sagas SET started_at_us = started_at_us - 90000000000").execute(c))?;
        Ok(())
    });
    passes.expect("passes");
}

/// A payment whose first request was never answered, a day later.
fn old_intent(database: &Database) -> Instance {
    let instance = Instance::new(database, "one");
    let calls = instance.receive(&event(CLAIM, 100, 1));
    instance.answer(&calls[0], unknown());
    assert!(
        matches!(instance.resume()[0].call, Call::Pay { .. }),
        "as long as the key is remembered, it is sent again"
    );
    a_day_passes(database);
    instance
}

fn act(instance: &Instance, action: Action) -> ActionOutcome {
    let by = Actor { reason: "because".into(), operator: None, client: "192.0.2.7".into() };
    instance.executor.act(CLAIM, action, &by).expect("acts")
}

on_both_databases! {
    fn a_key_that_may_be_forgotten_is_looked_up_and_not_sent(database: &Database) {
        let instance = old_intent(database);
        let calls = instance.resume();
        assert!(matches!(calls[0].call, Call::LookUp { .. }), "{calls:?}");
        assert_eq!(instance.answer(&calls[0], reconcile(LookUpAnswer::NotFound)), []);
        let stuck = instance.saga(CLAIM).stuck_reason.expect("stuck");
        assert!(stuck.contains("not sent again"), "{stuck}");
        // Its answer was lost, and not the payment.
        let calls = instance.resume();
        instance.answer(&calls[0], reconcile(LookUpAnswer::Paid { amount_cents: 100 }));
        let outcome = instance.saga(CLAIM).saga.outcome.map(|outcome| outcome.kind);
        assert_eq!((outcome, instance.books_off()), (Some(OutcomeKind::Settled), 0));
    }

    fn a_key_that_is_forgotten_before_its_call_must_be_made_is_not_sent_either(database: &Database) {
        let mut waits_long = settings();
        waits_long.saga.lease_ms = 7_200_000;
        waits_long.gateway.key_lifetime_ms = 3_600_000;
        let instance = Instance::with_settings(database, "one", waits_long);
        let calls = instance.receive(&event(CLAIM, 100, 1));
        assert!(matches!(calls[0].call, Call::Pay { .. }), "no gateway can have forgotten what was never sent: {calls:?}");
        instance.answer(&calls[0], unknown());
        let calls = instance.resume();
        assert!(matches!(calls[0].call, Call::LookUp { .. }), "{calls:?}");
        assert_eq!(instance.answer(&calls[0], reconcile(LookUpAnswer::NotFound)), []);
        assert!(instance.saga(CLAIM).stuck_reason.is_some());
    }

    fn a_payment_that_was_begun_while_the_clock_was_ahead_is_looked_up_where_its_key_may_be_forgotten(database: &Database) {
        let days = |days: i64| days * 86_400_000_000;
        // An hour ahead, a key is at most two hours old when the clock is right; eight days ahead, it may be forgotten.
        for (number, ahead_us, is_looked_up) in [(0, 3_600_000_000, false), (1, days(8), true), (2, days(3_653), true)] {
            let instance = Instance::new(database, "one");
            let claim_id = format!("claim{number:017}");
            let calls = instance.receive(&event(&claim_id, 100, 1));
            instance.answer(&calls[0], unknown());
            let sql = format!("UPDATE sagas SET started_at_us = started_at_us + {ahead_us} WHERE claim_id = '{claim_id}'");
            database.write(|c| execute(c, &sql)).expect("writes");
            let mut calls = instance.resume();
            assert_eq!(matches!(calls[0].call, Call::LookUp { .. }), is_looked_up, "{calls:?}");
            if is_looked_up {
                // Not found proves nothing: it is not sent again, however often it is tried.
                instance.answer(&calls[0], reconcile(LookUpAnswer::NotFound));
                assert!(instance.saga(&claim_id).stuck_reason.is_some());
                calls = instance.resume();
                assert!(matches!(calls[0].call, Call::LookUp { .. }), "{calls:?}");
                instance.answer(&calls[0], reconcile(LookUpAnswer::Paid { amount_cents: 100 }));
            } else {
                instance.answer(&calls[0], approved(100));
            }
            let saga = instance.saga(&claim_id).saga;
            assert_eq!(saga.outcome.map(|outcome| outcome.kind), Some(OutcomeKind::Settled));
        }
    }

    fn a_restored_payment_waits_for_its_re_request_however_old_its_key_is(database: &Database) {
        let instance = old_intent(database);
        let restored = database.write(|connection| {
            let now_us = connection.now_us()?;
            restore_marker::restored(connection, now_us)
        });
        restored.expect("marks");
        assert_eq!(instance.resume(), []);
        for version in [1, 2] {
            assert_eq!(instance.receive(&event(CLAIM, 100, version)), [], "that was requested before the restore");
        }
        assert_eq!(instance.saga(CLAIM).saga.trust, Trust::Unverified);
    }

    fn a_refund_is_sent_again_however_old_the_payment_is(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        instance.answer(&calls[0], approved(100));
        let refund = instance.receive(&event(CLAIM, 100, 2));
        a_day_passes(database);
        let again = instance.resume();
        assert_eq!(again[0].call, refund[0].call);
        assert!(matches!(again[0].call, Call::Refund { amount_cents: 100, .. }), "{again:?}");
    }

    fn neither_a_void_nor_an_operators_retry_sends_it(database: &Database) {
        let instance = old_intent(database);
        let ActionOutcome::Done(calls) = act(&instance, Action::Retry) else { panic!("it is tried") };
        assert!(matches!(calls[0].call, Call::LookUp { .. }), "{calls:?}");
        let calls = instance.receive(&event(CLAIM, 100, 2));
        assert!(matches!(calls[0].call, Call::LookUp { .. }), "{calls:?}");
        instance.answer(&calls[0], reconcile(LookUpAnswer::Declined { code: "no".into() }));
        let outcome = instance.saga(CLAIM).saga.outcome.map(|outcome| outcome.kind);
        assert_eq!((outcome, instance.books_off()), (Some(OutcomeKind::Unwound), 0));
    }

    fn an_answer_that_comes_after_all_is_taken(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        a_day_passes(database);
        instance.answer(&calls[0], approved(100));
        let outcome = instance.saga(CLAIM).saga.outcome.map(|outcome| outcome.kind);
        assert_eq!((outcome, instance.books_off()), (Some(OutcomeKind::Settled), 0));
    }

    fn a_return_reported_meanwhile_counts_once_an_operator_forces_paid(database: &Database) {
        let instance = old_intent(database);
        let calls = instance.resume();
        instance.answer(&calls[0], reconcile(LookUpAnswer::NotFound));
        assert_eq!(instance.executor.apply_return("evt-1", CLAIM, 100).expect("keeps").0, ReturnOutcome::Kept);
        assert!(matches!(act(&instance, Action::Force(Some(Forced::Paid))), ActionOutcome::Done(_)));
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "return", "reverse"]);
        let outcome = instance.saga(CLAIM).saga.outcome.map(|outcome| outcome.kind);
        assert_eq!((outcome, instance.books_off()), (Some(OutcomeKind::Unwound), 0));
    }
}
