//! The steps of a saga, forward and back, the gateway's answers to them, and the end they lead to.

use super::facts::{Disbursement, Outcome, Reservation, Saga, Trust};
use super::input::{Effect, Input};
use crate::domain::gateway_call::{Call, PayAnswer, RefundAnswer};
use crate::domain::ledger::{Kind, transfer_id};
use crate::domain::reasons::Reason;
use claim_events::{Cause, Compensation, OutcomeKind, PaymentEvent, Settled, Step, Unwound};

impl Saga {
    pub(super) fn reserved(&mut self, covered: bool, effects: &mut Vec<Effect>) {
        if self.reservation != Reservation::None {
            return;
        }
        if covered {
            self.reservation = Reservation::Pending;
        } else {
            self.reservation = Reservation::Refused;
            self.unwind(Cause::StepFailed, Some(Step::Reserve), Reason::budget_exhausted());
        }
        self.proceed(effects);
    }

    pub(super) fn pay_answered(&mut self, answer: PayAnswer, effects: &mut Vec<Effect>) {
        if self.disbursement != Disbursement::Intended || self.trust != Trust::Sure {
            effects.extend(self.contradiction(&Input::PayAnswer(answer)).map(Effect::Alarm));
            return;
        }
        match answer {
            PayAnswer::Unknown { retry_after_ms } => return self.unclear(retry_after_ms, effects),
            PayAnswer::Pending { retry_after_ms } => return self.pending(retry_after_ms, effects),
            PayAnswer::Unauthorized => return self.not_authorized(effects),
            PayAnswer::Approved { .. } | PayAnswer::Declined { .. } => {}
        }
        self.note_pay_answer(answer, effects);
        self.proceed(effects);
    }

    /// Notes a definite answer to an intent.
    pub(super) fn note_pay_answer(&mut self, answer: PayAnswer, effects: &mut Vec<Effect>) {
        self.end_inquiry();
        match answer {
            PayAnswer::Approved { amount_cents } => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Disburse, amount_cents)));
                self.disbursement = Disbursement::Paid { amount_cents };
                if amount_cents != self.amount_cents {
                    effects.push(Effect::Alarm("the gateway paid another amount than was requested"));
                    self.unwind(Cause::StepFailed, Some(Step::Disburse), Reason::amount_mismatch());
                }
            }
            PayAnswer::Declined { code } => {
                self.disbursement = Disbursement::Declined;
                self.unwind(Cause::StepFailed, Some(Step::Disburse), Reason::declined(&code));
            }
            PayAnswer::Unknown { .. } | PayAnswer::Pending { .. } | PayAnswer::Unauthorized => {}
        }
    }

    pub(super) fn refund_answered(&mut self, answer: &RefundAnswer, effects: &mut Vec<Effect>) {
        let is_unsolicited = self.has_ended();
        let (Disbursement::RefundIntended { amount_cents } | Disbursement::Owed { amount_cents }, Trust::Sure) =
            (self.disbursement, self.trust)
        else {
            effects.extend(self.contradiction(&Input::RefundAnswer(answer.clone())).map(Effect::Alarm));
            return;
        };
        match answer {
            RefundAnswer::Refunded => self.take_back(Kind::Refund, amount_cents, effects),
            RefundAnswer::AlreadyReturned => self.take_back(Kind::Return, amount_cents, effects),
            RefundAnswer::Failed => return self.refund_failed(amount_cents, effects),
            _ if matches!(self.disbursement, Disbursement::Owed { .. }) => return,
            RefundAnswer::Unknown { retry_after_ms } => return self.unclear(*retry_after_ms, effects),
            RefundAnswer::Pending { retry_after_ms } => return self.pending(*retry_after_ms, effects),
            RefundAnswer::Unauthorized => return self.not_authorized(effects),
        }
        self.unsolicited |= is_unsolicited;
        self.proceed(effects);
    }

    /// Books that the money is back, by a refund or by a return. That closes a receivable from the provider, so the
    /// outcome that named it no longer holds.
    pub(super) fn take_back(&mut self, kind: Kind, amount_cents: i64, effects: &mut Vec<Effect>) {
        self.end_inquiry();
        effects.push(Effect::Book(self.parties().transfer(kind, amount_cents)));
        if matches!(self.disbursement, Disbursement::Owed { .. }) {
            effects.push(Effect::Book(self.parties().transfer(Kind::CloseReceivable, amount_cents)));
            self.repeats.closed_receivables = self.repeats.closed_receivables.saturating_add(1);
            self.drop_outcome();
        }
        if kind == Kind::Refund {
            self.disbursement = Disbursement::Refunded;
            self.compensations.push(Compensation::Refund);
        } else {
            self.disbursement = Disbursement::Returned;
        }
    }

    /// Whether a late answer is what the saga waits for, to whichever of its calls the gateway gave it: a key has one fate, so
    /// that a definite answer stays true. What a look-up finds was true only at its time; once a refund has failed, an answer may
    /// be to the key of another one; and in a restored database it may not be known that the refund has failed since.
    pub fn accepts_late(&self, late: &Input) -> bool {
        let waits = match late {
            Input::PayAnswer(PayAnswer::Approved { .. } | PayAnswer::Declined { .. }) => {
                self.disbursement == Disbursement::Intended
            }
            Input::RefundAnswer(RefundAnswer::Refunded | RefundAnswer::AlreadyReturned | RefundAnswer::Failed)
                if self.failed_refunds == 0 && !self.restore_marker.restored =>
            {
                matches!(self.disbursement, Disbursement::RefundIntended { .. } | Disbursement::Owed { .. })
            }
            _ => false,
        };
        waits && self.trust == Trust::Sure
    }

    /// What is wrong with an answer that the saga does not wait for any more; nothing where it repeats what is known, or is not
    /// definite.
    pub fn contradiction(&self, late: &Input) -> Option<&'static str> {
        use Disbursement::{Declined, Intended, None as Nothing, Refunded, Returned};
        let is_wrong = match (late, self.disbursement) {
            (Input::PayAnswer(PayAnswer::Unknown { .. }) | Input::RefundAnswer(RefundAnswer::Unknown { .. }), _) => {
                false
            }
            (Input::PayAnswer(PayAnswer::Declined { .. }), before) => !matches!(before, Nothing | Intended | Declined),
            (Input::PayAnswer(PayAnswer::Approved { amount_cents }), before) => {
                before == Declined || before.paid_cents().is_some_and(|paid| paid != *amount_cents)
            }
            (Input::RefundAnswer(RefundAnswer::Refunded), before) => matches!(before, Returned | Declined),
            (Input::RefundAnswer(RefundAnswer::AlreadyReturned), before) => matches!(before, Refunded | Declined),
            _ => false,
        };
        is_wrong.then_some("the gateway's answer contradicts an earlier one, or one that was forced")
    }

    /// Does whatever can be done without waiting, up to the next answer or the end.
    pub(super) fn proceed(&mut self, effects: &mut Vec<Effect>) {
        while self.trust != Trust::Unverified && !self.has_ended() && self.step(effects) {}
    }

    /// One step; `false` when an answer has to come first.
    fn step(&mut self, effects: &mut Vec<Effect>) -> bool {
        if self.trust == Trust::LookingUp {
            effects.push(Effect::Call(self.look_up()));
            return false;
        }
        if self.disbursement == Disbursement::Intended {
            // The money rule: forward or back, the same key until the answer is definite.
            effects.push(Effect::Call(self.inquiry_call()));
            return false;
        }
        if self.unwinding.is_some() { self.step_back(effects) } else { self.step_forward(effects) }
    }

    fn step_forward(&mut self, effects: &mut Vec<Effect>) -> bool {
        match (self.reservation, self.disbursement) {
            (Reservation::None, _) if self.amount_cents == 0 => self.end(OutcomeKind::Settled, effects),
            (Reservation::None, _) if self.amount_cents < 0 => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Receivable, -self.amount_cents)));
                self.reservation = Reservation::Posted;
            }
            (Reservation::None, _) => {
                effects.push(Effect::Reserve(self.parties().transfer(Kind::Reserve, self.amount_cents)));
                return false;
            }
            (Reservation::Pending, Disbursement::None) => self.disbursement = Disbursement::Intended,
            (Reservation::Pending, _) => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Post, self.amount_cents)));
                self.reservation = Reservation::Posted;
            }
            (Reservation::Posted, _) => self.end(OutcomeKind::Settled, effects),
            // Only a saga that unwinds has these.
            (Reservation::Refused | Reservation::Released | Reservation::Reversed, _) => return false,
        }
        true
    }

    fn step_back(&mut self, effects: &mut Vec<Effect>) -> bool {
        match (self.reservation, self.disbursement) {
            (Reservation::Posted, _) => {
                let reverse = if self.amount_cents < 0 {
                    self.parties().reverse_receivable(-self.amount_cents)
                } else {
                    self.parties().transfer(Kind::Reverse, self.amount_cents)
                };
                effects.push(Effect::Book(reverse));
                self.reservation = Reservation::Reversed;
                self.compensations.push(Compensation::Reverse);
            }
            (_, Disbursement::Paid { amount_cents }) => {
                self.disbursement = Disbursement::RefundIntended { amount_cents }
            }
            (_, Disbursement::RefundIntended { .. }) => {
                effects.push(Effect::Call(self.inquiry_call()));
                return false;
            }
            (_, Disbursement::RefundFailed { .. }) => {
                effects.push(Effect::Stuck(
                    "the refund failed at the gateway, and the provider still has the money: retry it, which requests another one under a new \
                     key, or force what became of it",
                ));
                return false;
            }
            (Reservation::Pending, _) => {
                effects.push(Effect::Book(self.parties().transfer(Kind::Release, self.amount_cents)));
                self.reservation = Reservation::Released;
                self.compensations.push(Compensation::Release);
            }
            _ => self.end(OutcomeKind::Unwound, effects),
        }
        true
    }

    /// Comes to an end, under a version above every one that either service knows of.
    fn end(&mut self, kind: OutcomeKind, effects: &mut Vec<Effect>) {
        let own_version = self.outcome.map_or(0, |outcome| outcome.version);
        self.outcome = Some(Outcome { kind, version: own_version.max(self.known_version) + 1 });
        effects.extend(self.publication());
        if self.waits_for_record() {
            self.republish_later(effects);
        }
    }

    /// Takes its end back. The next one has a higher version, since one version must not mean two ends.
    pub(super) fn drop_outcome(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.known_version = self.known_version.max(outcome.version);
        }
    }

    /// The effect that publishes the outcome, for the first time or again.
    pub(super) fn publication(&self) -> Option<Effect> {
        let event = match (self.outcome?.kind, &self.unwinding) {
            (OutcomeKind::Settled, _) => PaymentEvent::Settled(Settled {
                claim_id: self.claim_id.clone(),
                claim_version: self.claim_version,
                resync_epoch: self.resync_epoch,
                unsolicited: self.unsolicited,
                amount_cents: self.amount_cents,
                transfer_ids: self.standing_transfers(),
            }),
            (OutcomeKind::Unwound, unwinding) => PaymentEvent::Unwound(Unwound {
                claim_id: self.claim_id.clone(),
                claim_version: self.claim_version,
                resync_epoch: self.resync_epoch,
                unsolicited: self.unsolicited,
                cause: unwinding.as_ref()?.cause,
                failed_step: unwinding.as_ref()?.failed_step,
                reason_code: self.reason().map(|reason| reason.code),
                reason: self.reason().map(|reason| reason.words),
                compensations: self.compensations.clone(),
            }),
        };
        Some(Effect::Publish(event))
    }

    fn standing_transfers(&self) -> Vec<String> {
        let kinds: &[Kind] = match self.amount_cents.signum() {
            1 => &[Kind::Reserve, Kind::Disburse, Kind::Post],
            0 => &[],
            _ => &[Kind::Receivable],
        };
        kinds.iter().map(|kind| transfer_id(&self.claim_id, *kind)).collect()
    }

    pub(super) fn pay(&self) -> Call {
        Call::Pay {
            key: self.pay_key(),
            reference: self.claim_id.clone(),
            payee: self.provider_npi.clone(),
            amount_cents: self.amount_cents,
        }
    }

    pub(super) fn look_up(&self) -> Call {
        Call::LookUp { key: self.pay_key(), reference: self.claim_id.clone() }
    }

    fn pay_key(&self) -> String {
        format!("{}.disburse", self.claim_id)
    }

    pub(super) fn refund(&self, amount_cents: i64) -> Call {
        Call::Refund { key: self.refund_key(), reference: self.claim_id.clone(), amount_cents }
    }

    /// The key of the refund that is requested next, or was last. A refund that failed is final for its key.
    fn refund_key(&self) -> String {
        match self.failed_refunds {
            0 => format!("{}.refund", self.claim_id),
            failed => format!("{}.refund.{}", self.claim_id, failed + 1),
        }
    }

    /// How many refunds were requested before the one with this key.
    pub(super) fn refunds_before(&self, key: &str) -> Option<u32> {
        let rest = key.strip_prefix(self.claim_id.as_str())?.strip_prefix(".refund")?;
        if rest.is_empty() {
            return Some(0);
        }
        rest.strip_prefix('.')?.parse().ok().filter(|number| *number > 1).map(|number: u32| number - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::saga::fixture::intended;

    #[test]
    fn only_a_late_answer_that_differs_from_an_earlier_one_is_a_contradiction() {
        let approved = |amount_cents| Input::PayAnswer(PayAnswer::Approved { amount_cents });
        let declined = || Input::PayAnswer(PayAnswer::Declined { code: "no".into() });
        let [refunded, returned] = [RefundAnswer::Refunded, RefundAnswer::AlreadyReturned].map(Input::RefundAnswer);
        let paid = Disbursement::Paid { amount_cents: 100 };
        let owed = Disbursement::Owed { amount_cents: 100 };
        for (disbursement, late, wrong) in [
            (Disbursement::Intended, approved(100), false),
            (Disbursement::Intended, declined(), false),
            (Disbursement::Declined, declined(), false),
            (Disbursement::Declined, approved(100), true),
            (Disbursement::Declined, refunded.clone(), true),
            (Disbursement::Declined, returned.clone(), true),
            (paid, approved(100), false),
            (paid, approved(99), true),
            (paid, declined(), true),
            (paid, Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: None }), false),
            (owed, approved(100), false),
            (owed, approved(101), true),
            (Disbursement::Refunded, refunded.clone(), false),
            (Disbursement::Refunded, returned.clone(), true),
            (Disbursement::Refunded, declined(), true),
            (Disbursement::Returned, returned, false),
            (Disbursement::Returned, refunded, true),
        ] {
            let saga = Saga { disbursement, ..intended(None) };
            assert_eq!(saga.contradiction(&late).is_some(), wrong, "{late:?} after {disbursement:?}");
        }
    }

    #[test]
    fn a_settlement_names_the_transfers_that_stand() {
        for (amount_cents, transfer_ids) in
            [(100, &["claim.reserve", "claim.disburse", "claim.post"][..]), (0, &[]), (-100, &["claim.receivable"])]
        {
            let mut saga = Saga { amount_cents, ..intended(None) };
            saga.outcome = Some(Outcome { kind: OutcomeKind::Settled, version: 1 });
            let Some(Effect::Publish(PaymentEvent::Settled(settled))) = saga.publication() else { panic!("settled") };
            assert_eq!(
                (settled.amount_cents, settled.transfer_ids),
                (amount_cents, transfer_ids.iter().map(|id| (*id).to_owned()).collect())
            );
        }
    }
}
