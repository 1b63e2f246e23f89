//! The protocol as it is: whatever happens to a claim, nothing that must never be is reached, and it can always still end.
//!
//! Duplicates, reordering, crashes, lost answers and slow requests happen in every run, without a bound.

use protocol_model::params::{Budget, Params, Verdicts};
use protocol_model::search::explore;

fn holds(name: &str, params: Params) {
    let report = explore(&params);
    eprintln!("{name}: {report}");
    assert!(report.counterexample.is_none() && report.is_complete, "{name}: {report}");
}

/// Everything once, but the stores that are lost.
fn hurt() -> Params {
    Params { voids: 1, returns: 1, wipes: 1, ..Params::default() }
}

#[test]
fn wiped_topics_voids_and_returns_cost_no_claim_and_no_money() {
    holds("a void, a return, two wipes, a resync epoch without need", Params { wipes: 2, extra_resyncs: 1, ..hurt() });
}

#[test]
fn payments_database_may_be_lost_or_put_back() {
    holds("and payments restored", Params { payments_restores: 1, ..hurt() });
    holds("and payments restored twice, to either of two copies", Params { payments_restores: 2, copies: 2, ..hurt() });
}

#[test]
fn claim_processs_database_may_be_put_back() {
    holds("and claim_process restored", Params { claim_restores: 1, ..hurt() });
    holds("and claim_process restored twice", Params { claim_restores: 2, ..hurt() });
}

#[test]
fn both_databases_may_be_put_back() {
    holds("and both restored", Params { payments_restores: 1, claim_restores: 1, ..hurt() });
    let without_wipe = Params { wipes: 0, ..hurt() };
    holds("payments twice and claim_process", Params { payments_restores: 2, claim_restores: 1, ..without_wipe });
}

#[test]
fn a_claim_without_a_payment_ends_as_well() {
    for amount_cents in [0, -100] {
        let params = Params { amount_cents, payments_restores: 1, claim_restores: 1, returns: 0, ..hurt() };
        holds(&format!("{amount_cents} cents, and both restored"), params);
    }
}

#[test]
fn a_claim_from_before_payments_database_was_made_ends_as_well() {
    holds("made later", Params { made_later: true, extra_resyncs: 1, ..hurt() });
    holds("made later and restored", Params { made_later: true, payments_restores: 1, ..hurt() });
}

#[test]
fn a_claim_that_may_come_too_late_is_not_begun_or_goes_on() {
    holds("late", Params { late_messages: true, extra_resyncs: 1, ..hurt() });
    holds("late and restored", Params { late_messages: true, payments_restores: 1, ..hurt() });
    holds("late and made later", Params { late_messages: true, made_later: true, ..hurt() });
    holds("late and nothing due", Params { late_messages: true, amount_cents: 0, returns: 0, ..hurt() });
}

#[test]
fn each_verdict_and_each_budget_alone_holds() {
    let [none, yes] = [false, true];
    for (approve, decline, other_amount) in [(yes, none, none), (none, yes, none), (none, none, yes)] {
        for budget in [Budget::Covers, Budget::Lacks] {
            let verdicts = Verdicts { approve, decline, other_amount };
            let params = Params { verdicts, budget, payments_restores: 1, ..hurt() };
            holds(&format!("{verdicts:?}, {budget:?}"), params);
        }
    }
}
