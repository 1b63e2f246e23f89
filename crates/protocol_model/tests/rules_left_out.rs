//! Leaves out each rule of the protocol in turn: the search must then find a violation. A search that finds none without the
//! rule proves nothing with it.

use protocol_model::params::{Mutant, Params};
use protocol_model::search::{Report, explore};

/// One void, one return and one wipe.
fn faults() -> Params {
    Params { voids: 1, returns: 1, wipes: 1, ..Params::default() }
}

fn payments_restored(times: u8) -> Params {
    Params { payments_restores: times, ..faults() }
}

fn without(mutant: Mutant, params: Params) -> Report {
    let report = explore(&Params { mutant: Some(mutant), ..params });
    eprintln!("{mutant:?}: {report}");
    report
}

/// Without the rule, the search finds a violation whose text contains `words`.
fn is_violated(mutant: Mutant, params: Params, words: &str) {
    let report = without(mutant, params);
    let found = report.counterexample.as_ref().unwrap_or_else(|| panic!("no violation without {mutant:?}"));
    assert!(found.flaw.contains(words), "{mutant:?}: {report}");
}

const OTHER_BOOK: &str = "the gateway's book is";
const NEVER_AT_REST: &str = "can never come to rest";
const TWO_OUTCOMES: &str = "another outcome under the same version";
const NO_AGREEMENT: &str = ", the saga is";
const NEVER_PAID: &str = "money came back that was never paid";

#[test]
fn a_payment_that_a_look_up_does_not_find_may_have_been_made() {
    is_violated(Mutant::NotFoundIsProof, payments_restored(1), OTHER_BOOK);
}

#[test]
fn a_restored_database_must_have_a_restore_marker() {
    is_violated(Mutant::RestoreWithoutMarker, payments_restored(1), NEVER_PAID);
    is_violated(Mutant::RestoreWithoutMarker, Params { returns: 0, ..payments_restored(1) }, OTHER_BOOK);
}

#[test]
fn a_restored_saga_must_wait_for_a_later_resync_epoch() {
    is_violated(Mutant::ActsBeforeReannounced, payments_restored(1), NO_AGREEMENT);
}

/// A resync epoch from before the restore must not pass for a later one. If the clock of claim_process's database is ahead of
/// that of payments' database, the restore has to wait for the difference, or `reannounce` has to run once more.
#[test]
fn a_restore_marker_must_be_later_than_every_earlier_resync_epoch() {
    is_violated(Mutant::MarkerNotLater, Params { extra_resyncs: 1, ..payments_restored(1) }, NO_AGREEMENT);
}

#[test]
fn after_a_restore_the_operator_must_reannounce() {
    is_violated(Mutant::NotReannounced, payments_restored(1), NEVER_AT_REST);
}

#[test]
fn claim_process_must_ignore_outcomes_that_echo_an_older_resync_epoch() {
    is_violated(Mutant::OlderEchoesCount, payments_restored(1), TWO_OUTCOMES);
}

/// Matters only if both databases are restored: payments must not apply what claim_process no longer knows.
#[test]
fn payments_must_ignore_lower_resync_epochs() {
    let both = Params { payments_restores: 1, claim_restores: 1, wipes: 0, ..faults() };
    is_violated(Mutant::LowerEpochsCount, both, NO_AGREEMENT);
}

#[test]
fn events_must_carry_the_known_outcome() {
    is_violated(Mutant::KnownOutcomeDropped, payments_restored(1), TWO_OUTCOMES);
}

#[test]
fn a_known_unwinding_must_win() {
    is_violated(Mutant::KnownUnwoundIgnored, payments_restored(1), TWO_OUTCOMES);
}

#[test]
fn a_later_outcome_must_have_a_version_above_every_known_one() {
    is_violated(Mutant::OutcomeBelowKnown, payments_restored(1), TWO_OUTCOMES);
}

#[test]
fn an_unsolicited_outcome_must_be_republished() {
    is_violated(Mutant::UnsolicitedPublishedOnce, faults(), NEVER_AT_REST);
}

#[test]
fn a_duplicate_message_must_not_end_the_republishing() {
    is_violated(Mutant::DuplicateEndsRepublishing, faults(), NEVER_AT_REST);
}

/// Matters only if a database is lost and later restored from an older copy: no copy holds what happened in between.
#[test]
fn an_outcome_in_a_copy_that_claim_process_does_not_know_proves_nothing() {
    is_violated(Mutant::OwnOutcomeIsProof, payments_restored(2), OTHER_BOOK);
}

#[test]
fn a_payment_must_not_be_refunded_for_an_unwinding_that_only_a_copy_holds() {
    is_violated(Mutant::OwnOutcomeUnwindsPayment, payments_restored(2), OTHER_BOOK);
}

#[test]
fn an_unwinding_in_a_copy_must_be_published_above_a_known_one() {
    is_violated(Mutant::RestoredUnwoundNotRaised, payments_restored(2), TWO_OUTCOMES);
}

#[test]
fn knowledge_that_claim_process_has_lost_must_not_count() {
    let both = Params { payments_restores: 2, claim_restores: 1, extra_resyncs: 1, ..Params::default() };
    is_violated(Mutant::OlderKnowledgeCounts, both, OTHER_BOOK);
}

#[test]
fn claim_process_must_republish_pending_claims() {
    is_violated(Mutant::NoRepublishing, Params { voids: 0, returns: 0, ..faults() }, NEVER_AT_REST);
}

#[test]
fn a_settlement_must_not_answer_a_void() {
    is_violated(Mutant::SettlementAnswersVoid, faults(), "void_requested");
}

#[test]
fn a_return_that_arrives_before_the_approval_must_not_be_dropped() {
    is_violated(Mutant::EarlyReturnIgnored, faults(), OTHER_BOOK);
}

#[test]
fn a_deadline_must_not_apply_once_the_payment_may_have_been_requested() {
    is_violated(Mutant::DeadlineDropsIntent, Params { late_messages: true, returns: 0, ..faults() }, OTHER_BOOK);
}

#[test]
fn a_void_must_not_drop_an_intent() {
    is_violated(Mutant::VoidDropsIntent, faults(), NEVER_PAID);
    is_violated(Mutant::VoidDropsIntent, Params { returns: 0, ..faults() }, OTHER_BOOK);
}

#[test]
fn a_payment_must_be_retried_under_the_same_key() {
    is_violated(Mutant::RetryUnderNewKey, faults(), "a second payment");
}

/// As long as payments is stopped while its database is restored, the money rule alone makes stale answers harmless: an answer
/// to a key stays true. A look-up from before a second restore that is written after it is not harmless.
#[test]
fn answers_must_be_checked_against_their_revision() {
    let report = without(Mutant::StaleAnswersWritten, Params { extra_resyncs: 1, ..faults() });
    assert!(report.counterexample.is_none() && report.is_complete, "{report}");
    let restored_twice = Params { wipes: 0, ..payments_restored(2) };
    is_violated(Mutant::StaleAnswersWritten, restored_twice, "the gateway's book contradicts the facts");
}

/// The one rule without a counterexample. Within these bounds the search finds no violation without it, because the look-up after
/// a restore already decides whether payments' own unwinding stands. The model has no unwindings by a deadline or an operator,
/// which could contradict a known settlement.
#[test]
fn an_unwinding_not_raised_above_a_known_settlement_does_no_harm_within_these_bounds() {
    let both = Params { payments_restores: 2, claim_restores: 1, wipes: 0, ..faults() };
    let report = without(Mutant::UnwoundNotRaised, both);
    assert!(report.counterexample.is_none() && report.is_complete, "{report}");
}
