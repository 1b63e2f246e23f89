//! How an answer is sought that the gateway does not give, with its database: by the same key, and by look-ups.

use crate::harness::{CLAIM, Instance, event, reconcile, refunded, settings, unknown};
use claim_events::OutcomeKind;
use dual_db::Database;
use payments::domain::saga::{Call, Input, LookUpAnswer, PayAnswer, PlannedCall, RefundAnswer, State};
use payments::settings::Settings;
use test_support::on_both_databases;

/// The one call that follows once the pause is over.
fn next(instance: &Instance) -> PlannedCall {
    let mut calls = instance.resume();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

/// An instance that looks a payment up after two unclear answers, and a payment whose request got them.
fn unclear_twice(database: &Database) -> Instance {
    let mut settings = settings();
    settings.gateway.look_up_after_attempts = 2;
    let instance = Instance::with_settings(database, "one", settings);
    let mut call = instance.receive(&event(CLAIM, 100, 1)).remove(0);
    for _ in 0..2 {
        assert!(matches!(call.call, Call::Pay { .. }), "{call:?}");
        assert_eq!(instance.answer(&call, unknown()), []);
        call = next(&instance);
    }
    assert!(matches!(call.call, Call::LookUp { .. }), "{call:?}");
    assert_eq!(instance.answer(&call, unknown_look_up()).len(), 1, "a look-up that does not work keeps nothing back");
    instance
}

fn unknown_look_up() -> Input {
    reconcile(LookUpAnswer::Unknown { retry_after_ms: None })
}

fn end(instance: &Instance) -> Option<(OutcomeKind, i64)> {
    instance.saga(CLAIM).saga.outcome.map(|outcome| (outcome.kind, outcome.version))
}

on_both_databases! {
    fn a_payment_whose_key_is_never_answered_is_found_by_its_reference(database: &Database) {
        let instance = unclear_twice(database);
        let look_up = next(&instance);
        assert_eq!(instance.answer(&look_up, reconcile(LookUpAnswer::Paid { amount_cents: 100 })), []);
        assert_eq!((end(&instance), instance.books_off()), (Some((OutcomeKind::Settled, 1)), 0));
    }

    fn a_look_up_that_finds_nothing_has_the_same_key_sent_again(database: &Database) {
        let instance = unclear_twice(database);
        let look_up = next(&instance);
        let calls = instance.answer(&look_up, reconcile(LookUpAnswer::NotFound));
        let [PlannedCall { call: Call::Pay { key, .. }, .. }] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!(*key, format!("{CLAIM}.disburse"));
        instance.answer(&calls[0], Input::PayAnswer(PayAnswer::Approved { amount_cents: 100 }));
        assert_eq!((end(&instance), instance.books_off()), (Some((OutcomeKind::Settled, 1)), 0));
    }

    fn a_refund_whose_key_is_never_answered_is_found_by_its_reference(database: &Database) {
        let instance = unclear_twice(database);
        let look_up = next(&instance);
        instance.answer(&look_up, reconcile(LookUpAnswer::Paid { amount_cents: 100 }));
        let mut call = instance.receive(&event(CLAIM, 100, 2)).remove(0);
        for _ in 0..2 {
            assert!(matches!(call.call, Call::Refund { .. }), "{call:?}");
            instance.answer(&call, Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None }));
            call = next(&instance);
        }
        assert!(matches!(call.call, Call::LookUp { .. }), "{call:?}");
        let again = instance.answer(&call, reconcile(LookUpAnswer::Paid { amount_cents: 100 }));
        assert!(matches!(again[0].call, Call::Refund { .. }), "it is not refunded yet: {again:?}");
        instance.answer(&again[0], Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None }));
        let look_up = next(&instance);
        instance.answer(&look_up, reconcile(LookUpAnswer::Refunded { amount_cents: 100 }));
        assert_eq!((end(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));
    }

    fn a_pending_payment_is_looked_up_and_not_sent_again_until_it_is_definite(database: &Database) {
        let instance = Instance::new(database, "one");
        let pay = instance.receive(&event(CLAIM, 100, 1));
        instance.answer(&pay[0], Input::PayAnswer(PayAnswer::Pending { retry_after_ms: None }));
        // A void changes nothing about it: the money may still go out.
        let after_void = instance.receive(&event(CLAIM, 100, 2));
        assert!(matches!(after_void[0].call, Call::LookUp { .. }), "{after_void:?}");
        let mut look_up = after_void[0].clone();
        for _ in 0..5 {
            assert_eq!(instance.answer(&look_up, reconcile(LookUpAnswer::Pending { retry_after_ms: None })), []);
            look_up = next(&instance);
            assert!(matches!(look_up.call, Call::LookUp { .. }), "{look_up:?}");
        }
        let refund = instance.answer(&look_up, reconcile(LookUpAnswer::Paid { amount_cents: 100 }));
        assert!(matches!(refund[0].call, Call::Refund { .. }), "{refund:?}");
        instance.answer(&refund[0], Input::RefundAnswer(RefundAnswer::Pending { retry_after_ms: None }));
        let look_up = next(&instance);
        assert!(matches!(look_up.call, Call::LookUp { .. }), "{look_up:?}");
        instance.answer(&look_up, reconcile(LookUpAnswer::Refunded { amount_cents: 100 }));
        assert_eq!((end(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 1)), 0));
        assert_eq!(instance.answer(&refund[0], refunded()), [], "and the late answer says the same");
    }

    fn a_gateway_that_does_not_let_us_in_makes_no_payment_stuck(database: &Database) {
        let instance = Instance::new(database, "one");
        let bound = Settings::default().saga.stuck_after_attempts;
        let mut call = instance.receive(&event(CLAIM, 100, 1)).remove(0);
        for _ in 0..=bound {
            assert!(matches!(call.call, Call::Pay { .. }), "{call:?}");
            instance.answer(&call, Input::PayAnswer(PayAnswer::Unauthorized));
            call = next(&instance);
        }
        let stored = instance.saga(CLAIM);
        assert_eq!((stored.stuck_reason, stored.saga.attempts.disburse), (None, 0));
        instance.answer(&call, Input::PayAnswer(PayAnswer::Approved { amount_cents: 100 }));
        assert_eq!(instance.saga(CLAIM).saga.state(), State::Settled);
    }
}
