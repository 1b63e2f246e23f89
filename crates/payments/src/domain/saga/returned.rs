//! What is made of money that the gateway reports as come back, and of a refund that failed although it was approved.
//!
//! "Money back" is one fact a payment. A payment may come back in parts: it is booked as returned once they add up to what was
//! paid. A refund that failed undoes its booking and stops the saga: a refund is refused by the payee's bank for reasons that a
//! repeat does not change, so that an operator decides whether another one is requested, under a key of its own.

use super::facts::{Disbursement, Inquiry, Saga, Trust};
use super::input::Effect;
use crate::domain::gateway_call::PayAnswer;
use crate::domain::ledger::Kind;
use crate::domain::reasons::Reason;
use claim_events::{Cause, Compensation};

const MORE_THAN_PAID: &str = "more came back than was paid, or than is missing of it";

/// What is booked of a payment's return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BookedReturn {
    /// How much, in cents.
    pub cents: i64,
    /// How much of that was reported, in cents.
    pub reported_cents: i64,
}

/// Where the returns that were reported of a payment belong. The numbers are those of the reports, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// These are the payment's return, or belong to the one that is booked; the others have to be placed after it.
    Returned {
        /// Which.
        reports: Vec<usize>,
        /// How much they return together, in cents.
        amount_cents: i64,
    },
    /// They wait.
    Waiting {
        /// How much is missing for a full return, in cents; `None` where that is not known.
        missing_cents: Option<i64>,
        /// Those that cannot belong to the payment, and why.
        impossible: Vec<(usize, &'static str)>,
    },
}

/// What becomes of the report that a refund failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePlacement {
    /// It is news.
    Failed,
    /// It changes nothing: that is known, or the money came back otherwise.
    Known,
    /// It waits: no such refund was requested, as far as is known.
    Impossible(&'static str),
}

impl Saga {
    /// Where these returns belong, whose amounts in cents are in the order in which they were reported.
    pub fn place_returns(&self, amounts: &[i64], booked: BookedReturn) -> Placement {
        let whole_cents = match self.disbursement {
            Disbursement::None | Disbursement::Declined => {
                return all_impossible(amounts, "money came back that was never paid");
            }
            Disbursement::Refunded => return all_impossible(amounts, "a payment came back that was refunded before"),
            Disbursement::Returned => return place_beside(amounts, booked),
            // One that comes before the approval *is* the approval, but for a part: of how much is not known yet.
            Disbursement::Intended => {
                return match amounts.iter().position(|amount| *amount >= self.amount_cents) {
                    Some(report) => Placement::Returned { reports: vec![report], amount_cents: amounts[report] },
                    None => Placement::Waiting { missing_cents: None, impossible: Vec::new() },
                };
            }
            Disbursement::Paid { amount_cents }
            | Disbursement::RefundIntended { amount_cents }
            | Disbursement::RefundFailed { amount_cents }
            | Disbursement::Owed { amount_cents } => amount_cents,
        };
        if let Some(report) = amounts.iter().position(|amount| *amount == whole_cents) {
            return Placement::Returned { reports: vec![report], amount_cents: whole_cents };
        }
        let (parts, missing_cents) = parts_within(amounts, whole_cents);
        if missing_cents == 0 {
            return Placement::Returned { reports: parts, amount_cents: whole_cents };
        }
        Placement::Waiting { missing_cents: Some(missing_cents), impossible: all_but(&parts, amounts) }
    }

    /// What becomes of the report that the refund of this key failed. `refunded_cents` is what is booked as refunded.
    pub fn place_refund_failure(&self, key: &str, amount_cents: i64, refunded_cents: Option<i64>) -> FailurePlacement {
        let never = FailurePlacement::Impossible("a refund failed that was never requested");
        let Some(before) = self.refunds_before(key) else { return never };
        if before < self.failed_refunds || self.disbursement == Disbursement::Returned {
            return FailurePlacement::Known;
        }
        let expected_cents = match self.disbursement {
            _ if before > self.failed_refunds => return never,
            Disbursement::Refunded => refunded_cents,
            Disbursement::RefundIntended { amount_cents } | Disbursement::Owed { amount_cents } => Some(amount_cents),
            _ => return never,
        };
        if expected_cents == Some(amount_cents) {
            FailurePlacement::Failed
        } else {
            FailurePlacement::Impossible("a refund of another amount failed than was requested")
        }
    }

    /// The id of the transfer that books its refund, where it is booked.
    pub fn refund_transfer_id(&self) -> String {
        self.parties().transfer_id(Kind::Refund)
    }

    /// The id of the transfer that books its return, where it is booked.
    pub fn return_transfer_id(&self) -> String {
        self.parties().transfer_id(Kind::Return)
    }

    /// The money came back by itself. One that comes before the approval was recorded *is* the approval: both are booked.
    pub(super) fn returned(&mut self, amount_cents: i64, effects: &mut Vec<Effect>) {
        // An unverified saga learns of it by its look-up.
        if self.trust != Trust::Sure {
            return;
        }
        let is_unsolicited = self.has_ended();
        if self.disbursement == Disbursement::Intended {
            self.note_pay_answer(PayAnswer::Approved { amount_cents }, effects);
        }
        if matches!(self.disbursement, Disbursement::Refunded | Disbursement::Returned) {
            return;
        }
        let Some(paid_cents) = self.disbursement.paid_cents() else {
            return effects.push(Effect::Alarm("money came back that was never paid"));
        };
        self.take_back(Kind::Return, paid_cents, effects);
        self.unsolicited |= is_unsolicited;
        self.unwind(Cause::LateReturn, None, Reason::returned());
        self.proceed(effects);
    }

    /// The refund that was requested last failed, and may have been approved before.
    pub(super) fn refund_failed(&mut self, amount_cents: i64, effects: &mut Vec<Effect>) {
        match self.disbursement {
            _ if self.trust != Trust::Sure => return,
            Disbursement::Refunded => self.reopen_refund(amount_cents, effects),
            Disbursement::RefundIntended { amount_cents } => self.note_failed_refund(amount_cents, effects),
            // The provider owes it all the same.
            Disbursement::Owed { .. } => self.failed_refunds = self.failed_refunds.saturating_add(1),
            _ => return,
        }
        self.proceed(effects);
    }

    /// Takes back that the money is back: it went out again.
    pub(super) fn reopen_refund(&mut self, amount_cents: i64, effects: &mut Vec<Effect>) {
        self.unsolicited |= self.has_ended();
        effects.push(Effect::Book(self.parties().transfer(Kind::RefundFailed, amount_cents)));
        self.repeats.reopened = self.repeats.reopened.saturating_add(1);
        self.compensations.retain(|compensation| *compensation != Compensation::Refund);
        self.drop_outcome();
        self.note_failed_refund(amount_cents, effects);
    }

    fn note_failed_refund(&mut self, amount_cents: i64, effects: &mut Vec<Effect>) {
        effects.push(Effect::Alarm("a refund failed at the gateway: the provider still has the money"));
        self.disbursement = Disbursement::RefundFailed { amount_cents };
        self.failed_refunds = self.failed_refunds.saturating_add(1);
        self.attempts.refund = 0;
        self.inquiry = Inquiry::Send;
    }
}

/// Returns of a payment that is booked as returned: the same again, or the parts of it.
fn place_beside(amounts: &[i64], booked: BookedReturn) -> Placement {
    let repeat = amounts.iter().position(|amount| *amount == booked.cents);
    let parts = match repeat {
        Some(report) => vec![report],
        None => parts_within(amounts, booked.cents - booked.reported_cents).0,
    };
    if parts.is_empty() {
        return all_impossible(amounts, "more came back of a payment that came back before");
    }
    let amount_cents = parts.iter().map(|report| amounts[*report]).sum();
    Placement::Returned { reports: parts, amount_cents }
}

/// The first of these amounts that fit into `whole_cents` together, and what is missing of it then.
fn parts_within(amounts: &[i64], whole_cents: i64) -> (Vec<usize>, i64) {
    let (mut parts, mut missing_cents) = (Vec::new(), whole_cents);
    for (report, amount) in amounts.iter().enumerate() {
        if *amount <= missing_cents {
            missing_cents -= amount;
            parts.push(report);
        }
    }
    (parts, missing_cents)
}

fn all_but(parts: &[usize], amounts: &[i64]) -> Vec<(usize, &'static str)> {
    (0..amounts.len()).filter(|report| !parts.contains(report)).map(|report| (report, MORE_THAN_PAID)).collect()
}

fn all_impossible(amounts: &[i64], why: &'static str) -> Placement {
    Placement::Waiting { missing_cents: None, impossible: (0..amounts.len()).map(|report| (report, why)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::restore_marker::RestoreMarker;
    use crate::domain::saga::fixture::{intended, update};
    use crate::domain::saga::{Call, ClaimUpdate, Forced, Input, RefundAnswer, State, advance};
    use claim_events::OutcomeKind;

    fn returned(reports: &[usize], amount_cents: i64) -> Placement {
        Placement::Returned { reports: reports.to_vec(), amount_cents }
    }

    fn waiting(missing_cents: Option<i64>, impossible: &[usize]) -> (Option<i64>, Vec<usize>) {
        (missing_cents, impossible.to_vec())
    }

    #[test]
    fn the_parts_of_a_return_add_up_and_what_is_too_much_is_impossible() {
        let paid = Saga { disbursement: Disbursement::Paid { amount_cents: 100 }, ..intended(None) };
        let place = |amounts: &[i64]| paid.place_returns(amounts, BookedReturn::default());
        assert_eq!(place(&[100]), returned(&[0], 100));
        assert_eq!(place(&[40, 60]), returned(&[0, 1], 100));
        assert_eq!(place(&[40, 70, 60]), returned(&[0, 2], 100));
        assert_eq!(place(&[40, 100]), returned(&[1], 100));
        for (amounts, expected) in [
            (&[][..], waiting(Some(100), &[])),
            (&[40], waiting(Some(60), &[])),
            (&[101], waiting(Some(100), &[0])),
            (&[40, 70], waiting(Some(60), &[1])),
        ] {
            let Placement::Waiting { missing_cents, impossible } = place(amounts) else { panic!("{amounts:?}") };
            let impossible = impossible.into_iter().map(|(report, _)| report).collect();
            assert_eq!((missing_cents, impossible), expected, "{amounts:?}");
        }
    }

    #[test]
    fn a_booked_return_takes_its_repeats_and_its_parts_and_nothing_more() {
        let back = Saga { disbursement: Disbursement::Returned, ..intended(None) };
        let place =
            |amounts: &[i64], reported_cents| back.place_returns(amounts, BookedReturn { cents: 100, reported_cents });
        assert_eq!(place(&[100], 100), returned(&[0], 100), "the same again");
        assert_eq!(place(&[40], 0), returned(&[0], 40), "a part of one that an answer told of");
        assert_eq!(place(&[60, 50], 40), returned(&[0], 60));
        for (amounts, reported_cents) in [(&[40][..], 100), (&[70], 40), (&[101], 0)] {
            assert!(matches!(place(amounts, reported_cents), Placement::Waiting { .. }), "{amounts:?}");
        }
    }

    #[test]
    fn a_part_that_comes_before_the_approval_waits_for_it() {
        let place = |amounts: &[i64]| intended(None).place_returns(amounts, BookedReturn::default());
        assert_eq!(place(&[40]), Placement::Waiting { missing_cents: None, impossible: vec![] });
        assert_eq!(place(&[40, 150]), returned(&[1], 150), "the approval of another amount");
    }

    /// A saga that was withdrawn after its payment, and refunded.
    fn refunded() -> Saga {
        let (paid, _) = advance(intended(None), Input::PayAnswer(PayAnswer::Approved { amount_cents: 100 }));
        let (saga, _) = advance(paid, Input::Claim(ClaimUpdate { version: 2, ..update(None) }));
        let (saga, _) = advance(saga, Input::RefundAnswer(RefundAnswer::Refunded));
        assert_eq!(saga.state(), State::Unwound);
        saga
    }

    fn booked(effects: &[Effect]) -> Vec<&str> {
        let id =
            |effect: &'_ Effect| if let Effect::Book(transfer) = effect { Some(transfer.id.clone()) } else { None };
        effects.iter().filter_map(id).map(|id| -> &str { String::leak(id) }).collect()
    }

    #[test]
    fn a_refund_that_failed_stops_the_saga_until_an_operator_has_another_one_requested() {
        let (failed, effects) = advance(refunded(), Input::RefundFailed { amount_cents: 100 });
        assert_eq!(booked(&effects), ["claim.refund_failed"]);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Alarm(_))), "{effects:?}");
        assert!(matches!(effects.last(), Some(Effect::Stuck(_))), "{effects:?}");
        assert_eq!((failed.state(), failed.outcome, failed.unsolicited), (State::Unwinding, None, true));
        assert_eq!(failed.compensations, [Compensation::Reverse]);
        let (same, effects) = advance(failed.clone(), Input::Resume);
        assert!(matches!(effects[..], [Effect::Stuck(_)]), "nothing is sent: {effects:?}");

        let (again, effects) = advance(same, Input::Retried { is_stuck: true });
        let [Effect::Call(Call::Refund { key, .. })] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(key, "claim.refund.2");
        let late = Input::RefundAnswer(RefundAnswer::Refunded);
        assert!(!again.accepts_late(&late), "it may be the answer to the first refund");
        let (unwound, effects) = advance(again, late);
        assert_eq!(booked(&effects), ["claim.refund.2"]);
        assert_eq!(unwound.outcome.map(|outcome| (outcome.kind, outcome.version)), Some((OutcomeKind::Unwound, 3)));
        assert_eq!(unwound.compensations, [Compensation::Reverse, Compensation::Refund]);
    }

    #[test]
    fn a_refund_that_failed_may_be_owed_instead_or_come_back_by_itself() {
        let (failed, _) = advance(refunded(), Input::RefundFailed { amount_cents: 100 });
        let (owed, effects) = advance(failed.clone(), Input::Forced(Forced::Owed));
        assert_eq!((owed.state(), booked(&effects)), (State::Unwound, vec!["claim.open_receivable"]));
        let (back, effects) = advance(failed, Input::Returned { amount_cents: 100 });
        assert_eq!((back.state(), booked(&effects)), (State::Unwound, vec!["claim.return.2"]));
    }

    /// Found by `protocol_model`: the report that the refund failed may have been lost with the database.
    #[test]
    fn in_a_restored_database_a_late_approval_of_a_refund_does_not_count() {
        let refunding = Saga { disbursement: Disbursement::RefundIntended { amount_cents: 100 }, ..intended(None) };
        let late = Input::RefundAnswer(RefundAnswer::Refunded);
        assert!(refunding.accepts_late(&late));
        let restored = Saga { restore_marker: RestoreMarker { at_us: 1, restored: true }, ..refunding };
        assert!(!restored.accepts_late(&late), "its key is sent again, and answered as it is by now");
    }

    #[test]
    fn only_the_last_refund_that_was_requested_can_fail() {
        use FailurePlacement::{Failed, Impossible, Known};
        let first = refunded();
        assert_eq!(first.place_refund_failure("claim.refund", 100, Some(100)), Failed);
        assert!(matches!(first.place_refund_failure("claim.refund", 70, Some(100)), Impossible(_)));
        for key in ["claim.refund.2", "claim.refund.1", "claim.refund.", "claim.disburse", "other.refund"] {
            assert!(matches!(first.place_refund_failure(key, 100, Some(100)), Impossible(_)), "{key}");
        }
        let (failed, _) = advance(first, Input::RefundFailed { amount_cents: 100 });
        assert_eq!(failed.place_refund_failure("claim.refund", 100, None), Known);
        assert!(matches!(failed.place_refund_failure("claim.refund.2", 100, None), Impossible(_)), "not requested yet");
        let (again, _) = advance(failed, Input::Retried { is_stuck: true });
        assert_eq!(again.place_refund_failure("claim.refund.2", 100, None), Failed);
        let (back, _) = advance(again, Input::Returned { amount_cents: 100 });
        assert_eq!(back.place_refund_failure("claim.refund.2", 100, None), Known);
    }
}
