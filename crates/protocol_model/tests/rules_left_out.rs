//! Each rule of the protocol, left out: the search must then find what goes wrong. A search that found nothing without a
//! rule would prove nothing with it.

use protocol_model::params::{Mutant, Params};
use protocol_model::search::{Report, explore};

/// One void, one return and one wipe.
fn hurt() -> Params {
    Params { voids: 1, returns: 1, wipes: 1, ..Params::default() }
}

fn payments_restored(times: u8) -> Params {
    Params { payments_restores: times, ..hurt() }
}

fn without(mutant: Mutant, params: Params) -> Report {
    let report = explore(&Params { mutant: Some(mutant), ..params });
    eprintln!("{mutant:?}: {report}");
    report
}

/// Without the rule, something goes wrong that is told with these words.
fn goes_wrong(mutant: Mutant, params: Params, words: &str) {
    let report = without(mutant, params);
    let found = report.counterexample.as_ref().unwrap_or_else(|| panic!("nothing goes wrong without {mutant:?}"));
    assert!(found.flaw.contains(words), "{mutant:?}: {report}");
}

const OTHER_BOOK: &str = "the gateway's book says";
const STUCK_FOR_GOOD: &str = "can never come to rest";
const TWO_ENDS: &str = "another end under the same version";
const NO_AGREEMENT: &str = "claim_process says";
const NEVER_PAID: &str = "money came back that was never paid";

#[test]
fn a_payment_that_is_not_found_is_not_proved_unmade() {
    goes_wrong(Mutant::NotFoundIsProof, payments_restored(1), OTHER_BOOK);
}

#[test]
fn a_restored_database_must_be_marked() {
    goes_wrong(Mutant::RestoreUnmarked, payments_restored(1), NEVER_PAID);
    goes_wrong(Mutant::RestoreUnmarked, Params { returns: 0, ..payments_restored(1) }, OTHER_BOOK);
}

#[test]
fn a_restored_database_must_wait_until_it_is_asked_anew() {
    goes_wrong(Mutant::ActsBeforeAsked, payments_restored(1), NO_AGREEMENT);
}

/// A resync epoch from before the restore must not pass for a later one. Where the clock of claim_process's database is ahead of
/// that of payments', the restore has to wait as long, or the claims are asked for anew once more.
#[test]
fn a_mark_must_be_later_than_every_ask_before_it() {
    goes_wrong(Mutant::MarkNotLater, Params { extra_resyncs: 1, ..payments_restored(1) }, NO_AGREEMENT);
}

#[test]
fn after_a_restore_somebody_must_ask_anew() {
    goes_wrong(Mutant::NotReannounced, payments_restored(1), STUCK_FOR_GOOD);
}

#[test]
fn claim_process_must_ignore_outcomes_that_echo_an_older_ask() {
    goes_wrong(Mutant::OlderEchoesCount, payments_restored(1), TWO_ENDS);
}

/// Only where both databases are restored: payments must not hear what claim_process does not know any more.
#[test]
fn payments_must_ignore_lower_asks() {
    let both = Params { payments_restores: 1, claim_restores: 1, wipes: 0, ..hurt() };
    goes_wrong(Mutant::LowerAsksCount, both, NO_AGREEMENT);
}

#[test]
fn events_must_say_which_outcome_is_known() {
    goes_wrong(Mutant::KnownOutcomeDropped, payments_restored(1), TWO_ENDS);
}

#[test]
fn a_known_unwinding_must_win() {
    goes_wrong(Mutant::KnownUnwoundIgnored, payments_restored(1), TWO_ENDS);
}

#[test]
fn a_later_end_must_have_a_version_above_every_known_one() {
    goes_wrong(Mutant::EndBelowKnown, payments_restored(1), TWO_ENDS);
}

#[test]
fn an_outcome_nobody_asked_for_must_be_said_again() {
    goes_wrong(Mutant::UnaskedSaidOnce, hurt(), STUCK_FOR_GOOD);
}

#[test]
fn a_message_that_comes_again_must_not_end_that() {
    goes_wrong(Mutant::RepeatEndsSaying, hurt(), STUCK_FOR_GOOD);
}

/// Only where a database is lost and then put back to a copy from before: what happened in between is in no copy.
#[test]
fn an_end_of_a_copy_that_claim_process_does_not_know_proves_nothing() {
    goes_wrong(Mutant::OwnEndIsProof, payments_restored(2), OTHER_BOOK);
}

#[test]
fn a_payment_must_not_be_taken_back_for_a_reason_that_only_a_copy_knows() {
    goes_wrong(Mutant::OwnEndUnwindsPayment, payments_restored(2), OTHER_BOOK);
}

#[test]
fn an_unwinding_of_a_copy_must_be_said_above_a_known_one() {
    goes_wrong(Mutant::RestoredUnwoundNotRaised, payments_restored(2), TWO_ENDS);
}

#[test]
fn what_claim_process_has_forgotten_must_not_count() {
    let both = Params { payments_restores: 2, claim_restores: 1, extra_resyncs: 1, ..Params::default() };
    goes_wrong(Mutant::OlderKnowledgeCounts, both, OTHER_BOOK);
}

#[test]
fn whoever_waits_must_ask_again() {
    goes_wrong(Mutant::NobodyAsksAgain, Params { voids: 0, returns: 0, ..hurt() }, STUCK_FOR_GOOD);
}

#[test]
fn a_settlement_must_not_answer_a_void() {
    goes_wrong(Mutant::SettlementAnswersVoid, hurt(), "void_requested");
}

#[test]
fn a_return_that_comes_before_the_approval_must_not_be_forgotten() {
    goes_wrong(Mutant::EarlyReturnIgnored, hurt(), OTHER_BOOK);
}

#[test]
fn a_deadline_must_not_count_once_the_gateway_may_have_been_asked() {
    goes_wrong(Mutant::DeadlineDropsIntent, Params { late_messages: true, returns: 0, ..hurt() }, OTHER_BOOK);
}

#[test]
fn a_void_must_not_take_an_intent_back() {
    goes_wrong(Mutant::VoidDropsIntent, hurt(), NEVER_PAID);
    goes_wrong(Mutant::VoidDropsIntent, Params { returns: 0, ..hurt() }, OTHER_BOOK);
}

#[test]
fn a_payment_that_is_tried_again_must_have_the_same_key() {
    goes_wrong(Mutant::RetryUnderNewKey, hurt(), "a second payment");
}

/// As long as payments is stopped when its database is restored, the money rule alone makes stale answers harmless: what
/// the gateway said of a key once stays true. A look-up from before a second restore that is written after it is not.
#[test]
fn answers_must_be_held_against_their_revision() {
    let report = without(Mutant::StaleAnswersWritten, Params { extra_resyncs: 1, ..hurt() });
    assert!(report.counterexample.is_none() && report.is_complete, "{report}");
    let restored_twice = Params { wipes: 0, ..payments_restored(2) };
    goes_wrong(Mutant::StaleAnswersWritten, restored_twice, "the gateway's book contradicts the facts");
}

/// Not shown: within these bounds nothing goes wrong without this rule, because what the look-up after a restore finds
/// already decides whether an own unwinding stands. Unwindings by a deadline or an operator, which could contradict a
/// known settlement otherwise, are not modelled.
#[test]
fn an_unwinding_that_is_not_raised_above_a_known_settlement_does_no_harm_here() {
    let both = Params { payments_restores: 2, claim_restores: 1, wipes: 0, ..hurt() };
    let report = without(Mutant::UnwoundNotRaised, both);
    assert!(report.counterexample.is_none() && report.is_complete, "{report}");
}
