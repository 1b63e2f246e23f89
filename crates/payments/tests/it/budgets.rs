//! What counts against a plan's budget: every amount that is reserved or spent, each once, and nothing else.

use crate::harness::{CLAIM, Instance, approved, declined, event, reconcile, refunded, settings};
use claim_events::{KnownOutcome, OutcomeKind};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use dual_db::{Database, on_each_backend};
use payments::db::restore_marker;
use payments::domain::saga::{Call, LookUpAnswer, PlannedCall};
use payments::executor::ClaimEventRead;
use payments::settings::BudgetSettings;
use test_support::{Tally, on_both_databases};

const LIMIT_CENTS: i64 = 1_000;

/// Later than any restore in a test.
const LATER_EPOCH: i64 = 4_000_000_000;

#[derive(QueryableByName)]
struct Used {
    #[diesel(sql_type = BigInt)]
    used_cents: i64,
}

/// What counts as used of the one plan with a budget.
fn used_cents(database: &Database) -> i64 {
    let query = "SELECT used_cents FROM plan_budgets";
    let used: dual_db::Result<Used> = database.read(|c| Ok(on_each_backend!(c, |c| sql_query(query).get_result(c))?));
    used.expect("the plan is counted").used_cents
}

/// An instance in which all plans of these tests have a budget.
fn limited(database: &Database) -> Instance {
    let mut limited = settings();
    limited.budgets = vec![BudgetSettings { plan_prefix: "GRP-".into(), limit_cents: LIMIT_CENTS }];
    Instance::with_settings(database, "limited", limited)
}

/// Submits a claim, has it paid if its plan covers it, and returns whether it does.
fn pay(instance: &Instance, claim_id: &str, amount_cents: i64) -> bool {
    let calls = instance.receive(&event(claim_id, amount_cents, 1));
    calls.iter().for_each(|call| drop(instance.answer(call, approved(amount_cents))));
    !calls.is_empty()
}

fn restore(database: &Database) {
    let marked = database.write(|connection| {
        let now_us = connection.now_us()?;
        restore_marker::restored(connection, now_us)
    });
    marked.expect("marks");
}

/// The submission of a claim from a minute ago, which is before the restore, re-requested after it.
fn re_requested(instance: &Instance, claim_id: &str, amount_cents: i64, known: Option<KnownOutcome>) -> ClaimEventRead {
    let mut event = event(claim_id, amount_cents, 1);
    let now_us = instance.database.read(dual_db::Connection::now_us).expect("reads");
    event.update.submitted_at_us = now_us - 60_000_000;
    event.update.resync_epoch = LATER_EPOCH;
    event.update.known = known;
    event
}

/// Answers the one look-up that was planned.
fn answer_look_up(instance: &Instance, calls: &[PlannedCall], answer: LookUpAnswer) -> Vec<PlannedCall> {
    assert!(matches!(calls, [PlannedCall { call: Call::LookUp { .. }, .. }]), "{calls:?}");
    instance.answer(&calls[0], reconcile(answer))
}

on_both_databases! {
    fn a_voided_receivable_leaves_the_budget_as_it_was(database: &Database) {
        let instance = limited(database);
        assert!(pay(&instance, "paid", 600));
        assert_eq!(instance.receive(&event(CLAIM, -500, 1)), []);
        assert_eq!(used_cents(database), 600, "what a provider owes is not spent, and cannot be spent again");
        assert_eq!(instance.receive(&event(CLAIM, -500, 2)), []);
        assert_eq!(instance.transfer_kinds(CLAIM), ["receivable", "reverse"]);
        assert_eq!(used_cents(database), 600);
        assert!(!pay(&instance, "too much", 401));
        assert!(pay(&instance, "the rest", 400));
        assert_eq!((used_cents(database), instance.books_off()), (LIMIT_CENTS, 0));
    }

    fn a_receivable_from_before_the_budget_does_not_count(database: &Database) {
        let without = Instance::new(database, "without");
        assert!(pay(&without, "paid", 600));
        for version in [1, 2] {
            without.receive(&event(CLAIM, -500, version));
        }
        without.receive(&event("owed still", -700, 1));
        let instance = limited(database);
        assert!(!pay(&instance, "too much", 401));
        assert_eq!(used_cents(database), 600);
        assert!(pay(&instance, "the rest", 400));
    }

    fn a_batch_can_spend_what_it_gives_back_and_no_more(database: &Database) {
        let without = Instance::new(database, "without");
        assert!(pay(&without, "before", 600));
        let instance = limited(database);
        // The plan is counted from here on, with what the ledger has of this batch already.
        let batch =
            [event("before", 600, 2), event("first", 700, 1), event("too much", 301, 1), event("second", 300, 1)];
        let calls = instance.hear_all(&batch);
        let called: Vec<&str> = calls.iter().map(|call| call.claim_id.as_str()).collect();
        assert_eq!((called, used_cents(database)), (vec!["before", "first", "second"], LIMIT_CENTS));
        instance.answer(&calls[1], approved(700));
        let calls = instance.hear_all(&[event("first", 700, 2), event("too much again", 701, 1), event("third", 700, 1)]);
        let called: Vec<&str> = calls.iter().map(|call| call.claim_id.as_str()).collect();
        assert_eq!((called, used_cents(database)), (vec!["first", "third"], LIMIT_CENTS));
        assert_eq!(instance.books_off(), 0);
    }

    fn each_way_to_undo_a_reservation_gives_it_back_once(database: &Database) {
        let instance = limited(database);
        let decline = instance.receive(&event("declined", 300, 1));
        assert_eq!(used_cents(database), 300);
        instance.answer(&decline[0], declined());
        assert_eq!(used_cents(database), 0, "a decline releases it");

        assert!(pay(&instance, "voided", 300));
        let refund = instance.receive(&event("voided", 300, 2));
        assert_eq!(used_cents(database), 0, "a void after the settlement reverses it");
        instance.answer(&refund[0], refunded());
        instance.receive(&event("voided", 300, 2));
        assert_eq!(used_cents(database), 0, "and neither its refund nor a repeated void gives anything back");

        assert!(pay(&instance, "returned", 300));
        instance.executor.apply_return("evt-1", "returned", 300).expect("applies");
        instance.executor.apply_return("evt-2", "returned", 300).expect("applies");
        assert_eq!((used_cents(database), instance.books_off()), (0, 0));
    }

    fn a_refused_reservation_counts_nothing(database: &Database) {
        let instance = limited(database);
        assert!(!pay(&instance, "refused", LIMIT_CENTS + 1));
        assert_eq!(used_cents(database), 0);
        instance.receive(&event("refused", LIMIT_CENTS + 1, 2));
        assert_eq!(used_cents(database), 0, "and a void of it gives nothing back");
        assert!(pay(&instance, "all of it", LIMIT_CENTS));
    }

    fn an_overdraft_after_a_restore_counts_against_the_budget(database: &Database) {
        let instance = limited(database);
        assert!(pay(&instance, "paid", 900));
        restore(database);
        // It may have been paid before the restore, so that nothing can refuse it.
        let calls = instance.receive(&re_requested(&instance, CLAIM, 250, None));
        let alarms = Tally::of("payment_alarms_total");
        let counting = metrics::set_default_local_recorder(&alarms);
        let calls = answer_look_up(&instance, &calls, LookUpAnswer::NotFound);
        drop(counting);
        assert!(matches!(calls[0].call, Call::Pay { amount_cents: 250, .. }), "{calls:?}");
        assert_eq!((used_cents(database), alarms.total()), (1_150, 1));
        instance.answer(&calls[0], approved(250));
        assert_eq!((used_cents(database), instance.books_off()), (1_150, 0));
        assert!(!pay(&instance, "one cent more", 1));

        // What is given back fills the overdraft first.
        let calls = instance.receive(&{
            let mut void = event("paid", 900, 2);
            void.update.resync_epoch = LATER_EPOCH;
            void
        });
        let refund = answer_look_up(&instance, &calls, LookUpAnswer::Paid { amount_cents: 900 });
        instance.answer(&refund[0], refunded());
        assert_eq!(used_cents(database), 250);
        assert!(!pay(&instance, "too much", 751));
        assert!(pay(&instance, "the rest", 750));
        assert_eq!((used_cents(database), instance.books_off()), (LIMIT_CENTS, 0));
    }

    fn an_overdraft_that_is_released_is_given_back_whole(database: &Database) {
        let instance = limited(database);
        assert!(pay(&instance, "paid", 900));
        restore(database);
        let calls = instance.receive(&re_requested(&instance, CLAIM, 250, None));
        let calls = answer_look_up(&instance, &calls, LookUpAnswer::NotFound);
        instance.answer(&calls[0], declined());
        assert_eq!((used_cents(database), instance.books_off()), (900, 0));
    }

    fn what_is_presumed_within_the_budget_counts_once_and_is_no_alarm(database: &Database) {
        let instance = limited(database);
        assert!(pay(&instance, "paid", 600));
        restore(database);
        let calls = instance.receive(&re_requested(&instance, CLAIM, 250, Some(KnownOutcome { kind: OutcomeKind::Settled, version: 1 })));
        let alarms = Tally::of("payment_alarms_total");
        let counting = metrics::set_default_local_recorder(&alarms);
        assert_eq!(answer_look_up(&instance, &calls, LookUpAnswer::Paid { amount_cents: 250 }), []);
        drop(counting);
        assert_eq!((used_cents(database), alarms.total(), instance.books_off()), (850, 0, 0));
    }
}
