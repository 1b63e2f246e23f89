//! What operators do about payments that do not get on, over HTTP, on both databases.

use crate::harness::{CLAIM, Instance, approved, declined, event, refunded, settings, unknown, with_application};
use claim_events::{Cause, Compensation, OutcomeKind, PaymentEvent, Unwound};
use dual_db::Database;
use payments::db::operator_actions;
use payments::domain::gateway_call::PlannedCall;
use payments::domain::saga::{Forced, Input, PaymentState, RefundAnswer};
use payments::executor::operator::{Action, ActionOutcome, Actor};
use serde_json::{Value, json};
use test_support::{TestDatabase, on_both_databases};

/// A payment of another amount, whose refund gets no answer until it is stuck; its last call.
fn stuck_refund(instance: &Instance) -> PlannedCall {
    let pay = instance.receive(&event(CLAIM, 100, 1));
    let mut refund = instance.answer(&pay[0], approved(150));
    while instance.saga(CLAIM).stuck_reason.is_none() {
        instance.answer(&refund[0], Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None }));
        refund = instance.resume();
    }
    refund.remove(0)
}

fn stuck_payment(instance: &Instance) -> PlannedCall {
    let mut pay = instance.receive(&event(CLAIM, 100, 1));
    while instance.saga(CLAIM).stuck_reason.is_none() {
        instance.answer(&pay[0], unknown());
        pay = instance.resume();
    }
    pay.remove(0)
}

fn by() -> Actor {
    Actor { reason: "because".into(), operator: Some("A. Smith".into()), client: "192.0.2.7".into() }
}

fn force(instance: &Instance, answer: Option<Forced>) -> ActionOutcome {
    instance.executor.act(CLAIM, Action::Force(answer), &by()).expect("acts")
}

fn retry(instance: &Instance) -> ActionOutcome {
    instance.executor.act(CLAIM, Action::Retry, &by()).expect("acts")
}

fn end(instance: &Instance) -> (Option<OutcomeKind>, Option<String>) {
    let stored = instance.saga(CLAIM);
    (stored.saga.outcome.map(|outcome| outcome.kind), stored.stuck_reason)
}

/// What the last outcome says that went out.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    version: i64,
    compensations: Vec<Compensation>,
    code: String,
    words: String,
    unsolicited: bool,
}

fn unwound(instance: &Instance) -> Said {
    let (envelope, event) = instance.delivered().pop().expect("an outcome goes out");
    let PaymentEvent::Unwound(Unwound { compensations, reason_code, reason, unsolicited, .. }) = event else {
        panic!("{event:?}")
    };
    let [code, words] = [reason_code, reason].map(|told| told.expect("a reason"));
    Said { version: envelope.version, compensations, code, words, unsolicited }
}

async fn post(base: &str, act: &str, body: &Value) -> (u16, Value) {
    let url = format!("{base}/v1/payments/{CLAIM}/{act}");
    let answer = reqwest::Client::new().post(url).json(body).send().await.expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

on_both_databases! {
    fn a_stuck_compensation_is_seen_and_a_retry_after_healing_finishes_it(test: &TestDatabase) {
        with_application(test, |_| (), async |base, instance| {
            stuck_refund(&instance);
            let stuck: Value = reqwest::get(format!("{base}/v1/payments?state=stuck")).await.expect("answers").json().await.expect("JSON");
            assert_eq!((&stuck["payments"][0]["claim_id"], &stuck["payments"][0]["state"]), (&json!(CLAIM), &json!("stuck")));

            let (status, shown) = post(&base, "retry", &json!({"reason": "it is back", "operator": "A. Smith"})).await;
            assert_eq!((status, &shown["state"], &shown["stuck_reason"]), (202, &json!("unwinding"), &Value::Null), "{shown}");
            assert_eq!((&shown["steps"][1]["step"], &shown["steps"][1]["state"]), (&json!("disburse"), &json!("being_undone")));
            let act = &shown["operator_acts"][0];
            let told = ["act", "answer", "reason", "operator", "client", "state_before", "state_after"].map(|name| act[name].clone());
            assert_eq!(json!(told), json!(["retry", null, "it is back", "A. Smith", "127.0.0.1", "stuck", "unwinding"]));

            // The instance that takes it up next sends to the healed gateway under the same key.
            let calls = instance.resume();
            instance.answer(&calls[0], refunded());
            assert_eq!((end(&instance), instance.books_off()), ((Some(OutcomeKind::Unwound), None), 0));
        });
    }

    fn the_last_operator_actions_are_shown_however_many_there_were(test: &TestDatabase) {
        with_application(test, |_| (), async |base, instance| {
            stuck_payment(&instance);
            let retry = |n: usize| Actor { reason: format!("try {n}"), ..by() };
            for n in 0..100 {
                assert!(matches!(instance.executor.act(CLAIM, Action::Retry, &retry(n)).expect("acts"), ActionOutcome::Done(_)));
            }
            // Each retry counts from zero.
            while instance.saga(CLAIM).stuck_reason.is_none() {
                let calls = instance.resume();
                instance.answer(&calls[0], unknown());
            }
            assert!(matches!(force(&instance, Some(Forced::Declined)), ActionOutcome::Done(_)));
            let shown: Value = reqwest::get(format!("{base}/v1/payments/{CLAIM}")).await.expect("answers").json().await.expect("JSON");
            let acts = shown["operator_acts"].as_array().expect("a list");
            assert_eq!((acts.len(), &acts[0]["reason"], &acts[98]["reason"]), (100, &json!("try 1"), &json!("try 99")));
            assert_eq!((&acts[99]["act"], &acts[99]["answer"]), (&json!("force"), &json!("declined")));
        });
    }

    fn operator_actions_in_the_wrong_state_are_refused_with_the_state(test: &TestDatabase) {
        with_application(test, |_| (), async |base, instance| {
            let why = json!({"reason": "because"});
            for act in ["retry", "force"] {
                assert_eq!(post(&base, act, &why).await.0, 404);
            }
            let calls = instance.receive(&event(CLAIM, 100, 1));
            let (status, refused) = post(&base, "force", &json!({"reason": "because", "answer": "declined"})).await;
            assert_eq!((status, &refused["state"]), (409, &json!("working")), "{refused}");
            instance.answer(&calls[0], approved(100));
            for act in ["retry", "force"] {
                let (status, refused) = post(&base, act, &why).await;
                assert_eq!((status, &refused["state"]), (409, &json!("settled")), "{refused}");
                let (status, refused) = post(&base, act, &json!({"operator": "A. Smith"})).await;
                assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!("reason")), "{refused}");
            }
            assert_eq!(post(&base, "retry", &json!({"reason": "because", "answer": "paid"})).await.0, 400);
            let acts = instance.database.read(|c| operator_actions::last_of_claim(c, CLAIM, 10)).expect("reads");
            assert_eq!((acts, instance.saga(CLAIM).revision), (vec![], 2));
        });
    }

    fn a_force_without_an_answer_changes_nothing_and_names_those_that_are_possible_now(test: &TestDatabase) {
        with_application(test, |_| (), async |base, instance| {
            stuck_refund(&instance);
            let before = (instance.saga(CLAIM), instance.transfer_kinds(CLAIM));
            let (status, refused) = post(&base, "force", &json!({"reason": "because"})).await;
            assert_eq!((status, &refused["errors"]), (422, &json!([{"field": "answer", "pointer": "/answer",
                "code": "required", "message": "must be one of owed, refunded, returned"}])), "{refused}");
            let (status, refused) = post(&base, "force", &json!({"reason": "because", "answer": "gone"})).await;
            assert_eq!((status, &refused["errors"][0]["code"]), (422, &json!("unknown")), "{refused}");
            let (status, refused) = post(&base, "force", &json!({"reason": "because", "answer": "paid"})).await;
            assert!(status == 409 && refused["detail"].as_str().is_some_and(|why| why.contains("owed, refunded, returned")), "{refused}");
            assert_eq!((instance.saga(CLAIM), instance.transfer_kinds(CLAIM)), before);
            let acts = instance.database.read(|c| operator_actions::last_of_claim(c, CLAIM, 10)).expect("reads");
            assert_eq!(acts, []);
            let (status, forced) = post(&base, "force", &json!({"reason": "because", "answer": "owed"})).await;
            assert_eq!((status, &forced["state"]), (200, &json!("unwound")), "{forced}");
        });
    }

    fn what_was_retried_while_stuck_can_be_forced_between_its_calls(database: &Database) {
        let instance = Instance::new(database, "one");
        stuck_refund(&instance);
        for _ in 0..2 {
            let ActionOutcome::Done(calls) = retry(&instance) else { panic!("it is tried") };
            // Its answer may come at any moment, so the operator's does not compete with it.
            assert!(
                matches!(force(&instance, Some(Forced::Owed)), ActionOutcome::Refused { state: PaymentState::Unwinding, why } if why.contains("in progress"))
            );
            instance.answer(&calls[0], Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None }));
            assert_eq!(end(&instance), (None, None), "it is not stuck again yet");
        }
        assert!(matches!(force(&instance, None), ActionOutcome::AnswerMissing(possible) if possible.contains(&Forced::Owed)));
        assert!(matches!(force(&instance, Some(Forced::Paid)), ActionOutcome::Refused { state: PaymentState::Unwinding, .. }));
        assert_eq!(force(&instance, Some(Forced::Owed)), ActionOutcome::Done(vec![]));
        assert_eq!((end(&instance).0, instance.books_off()), (Some(OutcomeKind::Unwound), 0));
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "open_receivable", "release", "reserve"]);
        assert!(matches!(force(&instance, Some(Forced::Owed)), ActionOutcome::Refused { state: PaymentState::Unwound, .. }));
    }

    fn a_retry_allows_to_force_only_what_was_stuck(database: &Database) {
        let instance = Instance::new(database, "one");
        let is_refused = |why: &str| assert!(matches!(force(&instance, Some(Forced::Owed)), ActionOutcome::Refused { .. }), "{why}");
        let unknown_refund = || Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms: None });
        stuck_payment(&instance);
        let ActionOutcome::Done(pay) = retry(&instance) else { panic!("it is tried") };
        // The payment gets on, and its refund was never stuck.
        let refund = instance.answer(&pay[0], approved(150));
        instance.answer(&refund[0], unknown_refund());
        is_refused("the retry was one of the payment");
        let ActionOutcome::Done(refund) = retry(&instance) else { panic!("it is tried") };
        instance.answer(&refund[0], unknown_refund());
        is_refused("the refund was retried and was not stuck");
    }

    fn a_refund_that_cannot_be_had_is_owed_by_the_provider_and_cash_stays_the_gateways_book(database: &Database) {
        let instance = Instance::new(database, "one");
        let late = stuck_refund(&instance);
        assert_eq!(force(&instance, Some(Forced::Owed)), ActionOutcome::Done(vec![]));
        assert_eq!(end(&instance), (Some(OutcomeKind::Unwound), None));
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "open_receivable", "release", "reserve"]);
        let unwound_event = unwound(&instance);
        assert_eq!((unwound_event.version, unwound_event.compensations.as_slice(), unwound_event.unsolicited), (1, &[Compensation::Release][..], false));
        assert!(unwound_event.code == "amount_mismatch" && unwound_event.words.ends_with("the provider owes it"), "{unwound_event:?}");
        assert_eq!(instance.books_off(), 0);
        let acts = instance.database.read(|c| operator_actions::last_of_claim(c, CLAIM, 10)).expect("reads");
        assert_eq!((acts[0].answer.as_deref(), acts[0].operator.as_deref()), (Some("owed"), Some("A. Smith")));

        // The gateway refunds it after all: then it is not owed, which is another outcome, and an unsolicited one.
        instance.answer(&late, refunded());
        let unwound_event = unwound(&instance);
        let compensations = [Compensation::Release, Compensation::Refund];
        assert_eq!((unwound_event.version, unwound_event.compensations.as_slice(), unwound_event.unsolicited), (2, &compensations[..], true));
        assert!(unwound_event.code == "amount_mismatch" && !unwound_event.words.contains("owes"), "{unwound_event:?}");
        assert_eq!(instance.transfer_kinds(CLAIM), ["close_receivable", "disburse", "open_receivable", "refund", "release", "reserve"]);
        assert_eq!((end(&instance).0, instance.books_off()), (Some(OutcomeKind::Unwound), 0));
    }

    fn a_payment_that_is_owed_may_still_come_back_by_itself(database: &Database) {
        let instance = Instance::new(database, "one");
        stuck_refund(&instance);
        force(&instance, Some(Forced::Owed));
        instance.executor.apply_return("evt-1", CLAIM, 150).expect("applies");
        assert_eq!(instance.transfer_kinds(CLAIM), ["close_receivable", "disburse", "open_receivable", "release", "reserve", "return"]);
        let unwound_event = unwound(&instance);
        assert_eq!((unwound_event.version, unwound_event.compensations.as_slice(), unwound_event.unsolicited), (2, &[Compensation::Release][..], true));
        assert!(!unwound_event.words.contains("owes"), "{unwound_event:?}");
        // It is republished until claim_process has it.
        instance.resume();
        assert_eq!(unwound(&instance), unwound_event);
        assert_eq!(instance.books_off(), 0);
    }

    fn a_forced_answer_counts_as_the_gateways_answer(database: &Database) {
        let instance = Instance::new(database, "one");
        stuck_payment(&instance);
        assert_eq!(force(&instance, None), ActionOutcome::AnswerMissing(&[Forced::Paid, Forced::Declined]));
        assert!(
            matches!(force(&instance, Some(Forced::Refunded)), ActionOutcome::Refused { state: PaymentState::Stuck, why } if why.contains("paid, declined"))
        );
        assert!(matches!(force(&instance, Some(Forced::Paid)), ActionOutcome::Done(_)));
        assert_eq!((end(&instance).0, instance.books_off()), (Some(OutcomeKind::Settled), 0));
    }

    fn a_payment_that_was_never_made_is_unwound_by_an_operators_word(database: &Database) {
        let instance = Instance::new(database, "one");
        let late = stuck_payment(&instance);
        assert!(matches!(force(&instance, Some(Forced::Declined)), ActionOutcome::Done(_)));
        let unwinding = instance.saga(CLAIM).saga.unwinding.expect("unwinds");
        assert_eq!((unwinding.cause, unwinding.reason.code.as_str()), (Cause::Operator, "forced"));
        // An answer that agrees changes nothing, and one that does not is an alarm and changes nothing either.
        instance.answer(&late, declined());
        instance.answer(&late, approved(100));
        assert_eq!((end(&instance).0, instance.books_off()), (Some(OutcomeKind::Unwound), 0));
        assert_eq!(instance.transfer_kinds(CLAIM), ["release", "reserve"]);
    }

    fn what_operators_did_cannot_be_changed(database: &Database) {
        let instance = Instance::new(database, "one");
        stuck_refund(&instance);
        force(&instance, Some(Forced::Owed));
        for change in ["UPDATE operator_actions SET reason = 'another'", "DELETE FROM operator_actions"] {
            let refused = database.write(|c| dual_db::on_each_backend!(c, |c| {
                Ok(diesel::RunQueryDsl::execute(diesel::sql_query(change), c).map(drop)?)
            }));
            assert!(refused.is_err_and(|error| format!("{error:?}").contains("append-only")), "{change}");
        }
    }

    fn a_claim_that_comes_after_its_deadline_is_not_begun_and_one_that_was_begun_goes_on(database: &Database) {
        let mut short = settings();
        short.saga.deadline_ms = 1_000;
        let instance = Instance::with_settings(database, "one", short);
        let now_us = database.read(dual_db::Connection::now_us).expect("reads");
        let mut late = event(CLAIM, 100, 1);
        // Its database's marker is older: it was there when the claim was accepted.
        let before = database.write(|c| {
            Ok(dual_db::on_each_backend!(c, |c| diesel::RunQueryDsl::execute(diesel::sql_query("UPDATE restore_marker SET at_us = 0"), c))?)
        });
        assert_eq!(before.expect("writes"), 1);
        late.update.submitted_at_us = now_us - 2_000_000;
        assert_eq!(instance.receive(&late), []);
        let saga = instance.saga(CLAIM).saga;
        let unwinding = saga.unwinding.expect("unwinds");
        assert_eq!((unwinding.cause, unwinding.failed_step, unwinding.reason.code.as_str()), (Cause::Deadline, None, "too_late"));
        assert_eq!((instance.published(), instance.transfer_kinds(CLAIM), saga.compensations), (1, vec![], vec![]));

        let mut begun = event("begun0000000000000000a", 100, 1);
        begun.update.submitted_at_us = late.update.submitted_at_us;
        let calls = Instance::new(database, "patient").receive(&begun);
        assert_eq!(calls.len(), 1);
        assert_eq!(instance.receive(&begun), [], "it is being asked for, so no deadline counts");
        instance.answer(&calls[0], approved(100));
        let outcome = instance.saga("begun0000000000000000a").saga.outcome.expect("an end");
        assert_eq!(outcome.kind, OutcomeKind::Settled);
    }
}
