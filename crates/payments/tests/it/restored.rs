//! A database that was restored to an earlier state, or created again: what it may lack is looked up at the gateway, and
//! nothing is touched before claim_process has reannounced its claims.

use crate::harness::{CLAIM, Instance, approved, declined, event, reconcile, refunded};
use claim_events::{Cause, Compensation, KnownOutcome, OutcomeKind, OutcomeRecorded};
use dual_db::Database;
use payments::db::restore_marker;
use payments::domain::saga::{
    Call, Disbursement, Forced, Input, LookUpAnswer, PayAnswer, PaymentState, PlannedCall, State,
};
use payments::executor::operator::{Action, ActionOutcome, Actor};
use payments::executor::{ClaimEventRead, Received};
use test_support::on_both_databases;

/// A second later than any marker that a test makes.
const LATER_EPOCH: i64 = 4_000_000_000;
const MINUTE_US: i64 = 60_000_000;

/// Marks the database as restored now.
fn restore(database: &Database) {
    let marked = database.write(|connection| {
        let now_us = connection.now_us()?;
        restore_marker::restored(connection, now_us)
    });
    marked.expect("marks");
}

/// The event of a claim from a minute ago.
fn old_event(database: &Database, version: i64) -> ClaimEventRead {
    let now_us = database.read(|connection| connection.now_us()).expect("reads");
    let mut event = event(CLAIM, 100, version);
    event.update.submitted_at_us = now_us - MINUTE_US;
    event
}

fn asked(mut event: ClaimEventRead, known: Option<(OutcomeKind, i64)>) -> ClaimEventRead {
    event.update.resync_epoch = LATER_EPOCH;
    event.update.known = known.map(|(kind, version)| KnownOutcome { kind, version });
    event
}

/// The one look-up that is planned, answered.
fn answer_look_up(instance: &Instance, calls: &[PlannedCall], answer: LookUpAnswer) -> Vec<PlannedCall> {
    let key = format!("{CLAIM}.disburse");
    assert!(matches!(calls, [PlannedCall { call: Call::LookUp { key: asked, .. }, .. }] if *asked == key), "{calls:?}");
    instance.answer(&calls[0], reconcile(answer))
}

fn outcome(instance: &Instance) -> Option<(OutcomeKind, i64)> {
    instance.saga(CLAIM).saga.outcome.map(|outcome| (outcome.kind, outcome.version))
}

fn force(instance: &Instance, answer: Forced) -> ActionOutcome {
    let by = Actor { reason: "the help desk said so".into(), operator: None, client: "192.0.2.7".into() };
    instance.executor.act(CLAIM, Action::Force(Some(answer)), &by).expect("acts")
}

fn settle(instance: &Instance, event: &ClaimEventRead) {
    let calls = instance.receive(event);
    instance.answer(&calls[0], approved(100));
    assert_eq!(outcome(instance), Some((OutcomeKind::Settled, 1)));
}

on_both_databases! {
    fn a_restored_saga_does_nothing_until_its_claim_is_reannounced(database: &Database) {
        let instance = Instance::new(database, "one");
        let working = instance.receive(&event(CLAIM, 100, 1));
        restore(database);
        assert_eq!(instance.resume(), [], "its lease is over, and it is not taken up");
        assert_eq!(instance.saga(CLAIM).next_attempt_at_us, None, "nor looks at it again and again");
        assert_eq!(instance.answer(&working[0], approved(100)), [], "an answer from before means nothing");
        assert_eq!(instance.receive(&event(CLAIM, 100, 1)), [], "a resync epoch from before neither");
        let stored = instance.saga(CLAIM);
        assert_eq!((stored.saga.state(), stored.saga.disbursement), (State::Unverified, Disbursement::Intended));
        assert!(!database.read(restore_marker::current).expect("reads").resynced);

        let calls = instance.receive(&asked(event(CLAIM, 100, 1), None));
        assert!(database.read(restore_marker::current).expect("reads").resynced);
        let pay = answer_look_up(&instance, &calls, LookUpAnswer::NotFound);
        assert!(matches!(&pay[0].call, Call::Pay { amount_cents: 100, .. }), "the same key until definite: {pay:?}");
        instance.answer(&pay[0], approved(100));
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Settled, 1)), 0));
    }

    fn what_was_paid_after_the_copy_is_adopted_and_not_paid_again(database: &Database) {
        let instance = Instance::new(database, "one");
        restore(database);
        let received = old_event(database, 1);
        assert_eq!(instance.receive(&received), []);
        assert_eq!(instance.saga(CLAIM).saga.state(), State::Unverified);
        let calls = instance.receive(&asked(received, Some((OutcomeKind::Settled, 1))));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::Paid { amount_cents: 100 }), []);
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve"]);
        assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 2)), "a version above the known one");
        assert_eq!((instance.published(), instance.books_off()), (1, 0));
    }

    fn a_settled_saga_whose_payment_was_refunded_after_the_copy_is_unwound(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        restore(database);
        let calls = instance.receive(&asked(event(CLAIM, 100, 2), Some((OutcomeKind::Unwound, 2))));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::Refunded { amount_cents: 100 }), []);
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "refund", "reserve", "reverse"]);
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 3)), 0));
    }

    fn a_payment_that_came_back_after_the_copy_is_unwound(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        restore(database);
        let calls = instance.receive(&asked(event(CLAIM, 100, 1), Some((OutcomeKind::Settled, 1))));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::Returned { amount_cents: 100 }), []);
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "return", "reverse"]);
        assert_eq!(instance.saga(CLAIM).saga.compensations, [Compensation::Reverse]);
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));
    }

    fn what_is_settled_here_and_at_the_gateway_is_only_republished(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        restore(database);
        let calls = instance.receive(&asked(event(CLAIM, 100, 1), Some((OutcomeKind::Settled, 1))));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::Paid { amount_cents: 100 }), []);
        assert_eq!((outcome(&instance), instance.published()), (Some((OutcomeKind::Settled, 1)), 2));
        assert_eq!(instance.saga(CLAIM).saga.resync_epoch, LATER_EPOCH);
    }

    fn a_void_of_a_claim_that_is_not_found_pays_under_its_key_and_takes_it_back(database: &Database) {
        let instance = Instance::new(database, "one");
        restore(database);
        let calls = instance.receive(&asked(old_event(database, 2), None));
        let pay = answer_look_up(&instance, &calls, LookUpAnswer::NotFound);
        let refund = instance.answer(&pay[0], approved(100));
        instance.answer(&refund[0], refunded());
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 1)), 0));
    }

    fn only_a_known_unwinding_without_an_intent_takes_not_found_as_proof(database: &Database) {
        let instance = Instance::new(database, "one");
        restore(database);
        let calls = instance.receive(&asked(old_event(database, 1), Some((OutcomeKind::Unwound, 1))));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::NotFound), [], "nothing is sent");
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));

        let other = "other12345678901234567";
        let mut intended = event(other, 100, 1);
        let first = Instance::new(database, "two").receive(&intended);
        assert_eq!(first.len(), 1);
        restore(database);
        intended.update.resync_epoch = LATER_EPOCH;
        intended.update.known = Some(KnownOutcome { kind: OutcomeKind::Unwound, version: 1 });
        let calls = instance.receive(&intended);
        let pay = instance.answer(&calls[0], reconcile(LookUpAnswer::NotFound));
        assert!(matches!(&pay[0].call, Call::Pay { .. }), "a stored intent may still arrive: {pay:?}");
        instance.answer(&pay[0], declined());
        assert_eq!(instance.saga(other).saga.state(), State::Unwound);
    }

    fn a_gateway_that_contradicts_the_facts_stops_the_saga_in_sight_of_an_operator(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        restore(database);
        let calls = instance.receive(&asked(event(CLAIM, 100, 1), None));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::NotFound), []);
        let stored = instance.saga(CLAIM);
        assert_eq!(stored.saga.state(), State::Unverified);
        assert!(stored.stuck_reason.expect("stuck").contains("contradicts"));
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve"]);
        let again = instance.resume();
        assert_eq!(answer_look_up(&instance, &again, LookUpAnswer::Paid { amount_cents: 100 }), []);
        assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)), "it goes on once the gateway knows again");
    }

    fn a_payment_older_than_the_gateways_memory_of_its_key_is_not_sent_again(database: &Database) {
        let mut forgetful = crate::harness::settings();
        forgetful.gateway.key_lifetime_ms = 30_000;
        let instance = Instance::with_settings(database, "one", forgetful);
        restore(database);
        let calls = instance.receive(&asked(old_event(database, 1), None));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::NotFound), []);
        let stuck = instance.saga(CLAIM);
        assert!(stuck.stuck_reason.expect("stuck").contains("not sent again"));
        let again = instance.resume();
        assert_eq!(answer_look_up(&instance, &again, LookUpAnswer::Paid { amount_cents: 100 }), []);
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Settled, 1)), 0));
    }

    fn an_operator_can_force_the_answer_of_a_look_up_as_far_as_it_agrees_with_the_facts(database: &Database) {
        let mut forgetful = crate::harness::settings();
        forgetful.gateway.key_lifetime_ms = 30_000;
        let instance = Instance::with_settings(database, "one", forgetful);
        restore(database);
        let calls = instance.receive(&asked(old_event(database, 1), None));
        answer_look_up(&instance, &calls, LookUpAnswer::NotFound);
        assert_eq!(force(&instance, Forced::Declined), ActionOutcome::Done(vec![]));
        let saga = instance.saga(CLAIM).saga;
        assert_eq!(saga.unwinding.map(|why| (why.cause, why.reason.code)), Some((Cause::Operator, "forced".to_owned())));
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 1)), 0));
    }

    fn an_operator_cannot_say_what_the_ledger_contradicts(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        restore(database);
        let calls = instance.receive(&asked(event(CLAIM, 100, 1), None));
        answer_look_up(&instance, &calls, LookUpAnswer::NotFound);
        let before = instance.saga(CLAIM);
        assert!(matches!(force(&instance, Forced::Declined), ActionOutcome::Refused { state: PaymentState::Stuck, why } if why.contains("contradicts")));
        assert_eq!(instance.saga(CLAIM), before, "nothing was changed");
        assert_eq!(force(&instance, Forced::Paid), ActionOutcome::Done(vec![]));
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Settled, 1)), 0));
    }

    fn a_claim_from_before_a_database_was_created_is_looked_up_without_a_reannouncement(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&old_event(database, 1));
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::Declined { code: "no".into() }), []);
        assert_eq!(instance.saga(CLAIM).saga.compensations, [Compensation::Release]);
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 1)), 0));
    }

    fn a_raised_ask_during_a_call_does_not_cost_its_answer(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(instance.receive(&asked(event(CLAIM, 100, 1), None)), []);
        instance.answer(&calls[0], approved(100));
        assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)));
    }

    fn an_unwinding_of_our_own_against_a_known_settlement_is_republished_above_it(database: &Database) {
        let instance = Instance::new(database, "one");
        let calls = instance.receive(&event(CLAIM, 100, 1));
        instance.answer(&calls[0], Input::PayAnswer(PayAnswer::Declined { code: "no".into() }));
        instance.receive(&asked(event(CLAIM, 100, 1), Some((OutcomeKind::Settled, 4))));
        assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 5)));
    }

    fn a_known_unwinding_wins_over_a_settlement_here(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        let refund = instance.receive(&asked(event(CLAIM, 100, 1), Some((OutcomeKind::Unwound, 1))));
        assert!(matches!(&refund[0].call, Call::Refund { .. }), "{refund:?}");
        instance.answer(&refund[0], refunded());
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));
    }

    fn an_intent_that_turns_out_paid_is_refunded_where_the_claim_is_known_as_unwound(database: &Database) {
        let instance = Instance::new(database, "one");
        instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(instance.saga(CLAIM).saga.disbursement, Disbursement::Intended);
        restore(database);
        let calls = instance.receive(&asked(event(CLAIM, 100, 1), Some((OutcomeKind::Unwound, 1))));
        let refund = answer_look_up(&instance, &calls, LookUpAnswer::Paid { amount_cents: 100 });
        assert!(matches!(refund[..], [PlannedCall { call: Call::Refund { amount_cents: 100, .. }, .. }]), "{refund:?}");
        let stored = instance.saga(CLAIM);
        assert_eq!((stored.saga.state(), stored.saga.outcome), (State::Unwinding, None));
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "reserve"], "the reservation is not posted");
        assert_eq!(instance.delivered(), [], "nothing is published as settled");
        instance.answer(&refund[0], refunded());
        let published: Vec<String> = instance.delivered().into_iter().map(|(envelope, _)| envelope.id).collect();
        assert_eq!(published, [format!("{CLAIM}.payment.unwound.2")]);
        assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));
    }

    fn an_unsolicited_outcome_is_republished_until_it_is_recorded(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        let call_revision = instance.saga(CLAIM).call_revision;
        let returned = PlannedCall { claim_id: CLAIM.into(), revision: call_revision, call: Call::LookUp { key: String::new(), reference: String::new() }, tries: 0 };
        instance.answer(&returned, Input::Returned { amount_cents: 100 });
        assert_eq!((outcome(&instance), instance.delivered().len()), (Some((OutcomeKind::Unwound, 2)), 2));
        assert!(instance.saga(CLAIM).saga.unsolicited);
        instance.resume();
        assert_eq!(instance.delivered().len(), 1);
        instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(instance.delivered().len(), 1, "also by the way");
        instance.resume();
        assert_eq!(instance.delivered().len(), 1, "again and again");
        let recorded = |version| Received::Recorded(OutcomeRecorded {
            claim_id: CLAIM.into(),
            known_outcome: KnownOutcome { kind: OutcomeKind::Unwound, version },
            resync_epoch: 0,
        });
        instance.executor.apply_events(&[recorded(1)], &[]).expect("applies");
        assert!(instance.saga(CLAIM).saga.unsolicited, "that is another one");
        instance.executor.apply_events(&[recorded(2)], &[]).expect("applies");
        let stored = instance.saga(CLAIM);
        assert_eq!((stored.saga.unsolicited, stored.next_attempt_at_us), (false, None));
        instance.resume();
        assert_eq!(instance.delivered(), []);
    }

    fn what_is_republished_while_kafka_is_away_waits_once_and_has_one_time(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        instance.executor.apply_return("evt-1", CLAIM, 100).expect("applies");
        let first = instance.saga(CLAIM);
        for _ in 0..3 {
            instance.resume();
            instance.receive(&event(CLAIM, 100, 1));
        }
        let stored = instance.saga(CLAIM);
        assert_eq!((stored.saga.attempts.republish, stored.updated_at_us), (4, first.updated_at_us));
        let delivered: Vec<String> = instance.delivered().into_iter().map(|(envelope, _)| envelope.id).collect();
        assert_eq!(delivered, [format!("{CLAIM}.payment.settled.1"), format!("{CLAIM}.payment.unwound.2")]);
        // The same outcome, published under another epoch, is not what was published before.
        instance.resume();
        instance.receive(&asked(event(CLAIM, 100, 1), None));
        let asks: Vec<i64> = instance.delivered().into_iter().map(|(_, event)| event.resync_epoch()).collect();
        assert_eq!(asks, [0, LATER_EPOCH]);
    }

    fn a_repeated_message_does_not_end_the_republishing_of_an_unsolicited_outcome(database: &Database) {
        let instance = Instance::new(database, "one");
        settle(&instance, &event(CLAIM, 100, 1));
        let call_revision = instance.saga(CLAIM).call_revision;
        let returned = PlannedCall { claim_id: CLAIM.into(), revision: call_revision, call: Call::LookUp { key: String::new(), reference: String::new() }, tries: 0 };
        instance.answer(&returned, Input::Returned { amount_cents: 100 });
        assert_eq!(instance.delivered().len(), 2);
        instance.receive(&event(CLAIM, 100, 1));
        assert_eq!(instance.delivered().len(), 1, "the event is answered");
        let known_outcome = KnownOutcome { kind: OutcomeKind::Settled, version: 1 };
        let recorded = Received::Recorded(OutcomeRecorded { claim_id: CLAIM.into(), known_outcome, resync_epoch: 0 });
        instance.executor.apply_events(&[recorded], &[]).expect("applies");
        instance.answer(&returned, Input::Returned { amount_cents: 100 });
        instance.resume();
        assert_eq!(instance.delivered().len(), 1, "and the outcome is still republished");
    }
}
