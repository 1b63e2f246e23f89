//! The complete protocol: no reachable state violates a property, and the claim can still end from every state.
//!
//! Every run includes duplicates, reordering, crashes, lost answers and slow requests, without a bound.

use protocol_model::params::{Budget, Params, Verdicts};
use protocol_model::search::explore;

fn holds(name: &str, params: Params) {
    let report = explore(&params);
    eprintln!("{name}: {report}");
    assert!(report.counterexample.is_none() && report.is_complete, "{name}: {report}");
}

/// One void, one return and one wipe.
fn faults() -> Params {
    Params { voids: 1, returns: 1, wipes: 1, ..Params::default() }
}

#[test]
fn wiped_topics_voids_and_returns_cost_no_claim_and_no_money() {
    holds("a void, a return, two wipes, an unneeded reannouncement", Params { wipes: 2, extra_resyncs: 1, ..faults() });
}

#[test]
fn payments_database_may_be_lost_or_restored() {
    holds("and payments restored", Params { payments_restores: 1, ..faults() });
    holds(
        "and payments restored twice, to either of two copies",
        Params { payments_restores: 2, copies: 2, ..faults() },
    );
}

#[test]
fn a_refund_may_fail_after_it_was_approved() {
    let failing = Params { refund_may_fail: true, returns: 0, ..faults() };
    holds("a refund fails", failing);
    holds("a refund fails, and payments restored", Params { payments_restores: 1, ..failing });
    holds("a refund fails, and claim_process restored", Params { claim_restores: 1, ..failing });
    holds("a refund fails, and created later", Params { created_later: true, ..failing });
}

#[test]
fn claim_process_database_may_be_restored() {
    holds("and claim_process restored", Params { claim_restores: 1, ..faults() });
    holds("and claim_process restored twice", Params { claim_restores: 2, ..faults() });
}

#[test]
fn both_databases_may_be_restored() {
    holds("and both restored", Params { payments_restores: 1, claim_restores: 1, ..faults() });
    let without_wipe = Params { wipes: 0, ..faults() };
    holds("payments twice and claim_process", Params { payments_restores: 2, claim_restores: 1, ..without_wipe });
}

#[test]
fn a_claim_without_a_payment_ends() {
    for amount_cents in [0, -100] {
        let params = Params { amount_cents, payments_restores: 1, claim_restores: 1, returns: 0, ..faults() };
        holds(&format!("{amount_cents} cents, and both restored"), params);
    }
}

#[test]
fn a_claim_older_than_the_payments_database_ends() {
    holds("payments database created later", Params { created_later: true, extra_resyncs: 1, ..faults() });
    holds("created later and restored", Params { created_later: true, payments_restores: 1, ..faults() });
}

#[test]
fn a_late_claim_is_not_begun_or_continues() {
    holds("late", Params { late_messages: true, extra_resyncs: 1, ..faults() });
    holds("late and restored", Params { late_messages: true, payments_restores: 1, ..faults() });
    holds("late and created later", Params { late_messages: true, created_later: true, ..faults() });
    holds("late and nothing to pay", Params { late_messages: true, amount_cents: 0, returns: 0, ..faults() });
}

#[test]
fn each_verdict_and_each_budget_alone_holds() {
    let [no, yes] = [false, true];
    for (approve, decline, other_amount) in [(yes, no, no), (no, yes, no), (no, no, yes)] {
        for budget in [Budget::Covers, Budget::Lacks] {
            let verdicts = Verdicts { approve, decline, other_amount };
            let params = Params { verdicts, budget, payments_restores: 1, ..faults() };
            holds(&format!("{verdicts:?}, {budget:?}"), params);
        }
    }
}
