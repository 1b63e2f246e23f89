//! How an answer is sought that the gateway does not give: the same key is sent again, and after some answers that are not
//! definite, or where the gateway has the payment as pending, the payment is looked up.
//!
//! A look-up may prove that a payment or its refund was made, never that it was not: where it finds nothing, the same key is
//! sent again.

use super::facts::{Disbursement, Inquiry, Saga, Trust};
use super::input::Effect;
use crate::domain::gateway_call::{Call, LookUpAnswer, PayAnswer, RefundAnswer};

impl Saga {
    /// The next call to a gateway that owes an answer.
    pub(super) fn inquiry_call(&self) -> Call {
        if self.inquiry == Inquiry::Send { self.request() } else { self.look_up() }
    }

    /// The request itself, under the key that it always has.
    fn request(&self) -> Call {
        match self.disbursement {
            Disbursement::RefundIntended { amount_cents } => self.refund(amount_cents),
            _ => self.pay(),
        }
    }

    /// What a look-up found of a payment whose facts are sure.
    pub(super) fn looked_up(&mut self, answer: LookUpAnswer, key_expired: bool, effects: &mut Vec<Effect>) {
        match self.disbursement {
            Disbursement::Intended => self.payment_looked_up(answer, key_expired, effects),
            Disbursement::RefundIntended { amount_cents } => self.refund_looked_up(answer, amount_cents, effects),
            // Its answer came meanwhile.
            _ => {}
        }
    }

    fn payment_looked_up(&mut self, answer: LookUpAnswer, key_expired: bool, effects: &mut Vec<Effect>) {
        match answer {
            LookUpAnswer::Paid { amount_cents } => self.pay_answered(PayAnswer::Approved { amount_cents }, effects),
            LookUpAnswer::Declined { code } => self.pay_answered(PayAnswer::Declined { code }, effects),
            LookUpAnswer::Refunded { .. } | LookUpAnswer::Returned { .. } => {
                self.trust = Trust::LookingUp;
                self.reconcile(answer, key_expired, effects);
            }
            // Sent again, it could be a second payment.
            LookUpAnswer::NotFound if key_expired => {
                self.trust = Trust::LookingUp;
                self.reconcile(answer, key_expired, effects);
            }
            LookUpAnswer::NotFound => self.send_after_look_up(effects),
            not_definite => self.look_up_unclear(&not_definite, effects),
        }
    }

    fn refund_looked_up(&mut self, answer: LookUpAnswer, paid_cents: i64, effects: &mut Vec<Effect>) {
        match answer {
            LookUpAnswer::Refunded { amount_cents } if amount_cents == paid_cents => {
                self.refund_answered(&RefundAnswer::Refunded, effects)
            }
            LookUpAnswer::Returned { amount_cents } if amount_cents == paid_cents => {
                self.refund_answered(&RefundAnswer::AlreadyReturned, effects)
            }
            LookUpAnswer::Paid { amount_cents } if amount_cents == paid_cents => self.send_after_look_up(effects),
            LookUpAnswer::Pending { .. } | LookUpAnswer::Unauthorized | LookUpAnswer::Unknown { .. } => {
                self.look_up_unclear(&answer, effects)
            }
            _ => {
                effects.push(Effect::Alarm("the gateway's book contradicts the facts of a payment"));
                self.unclear(None, effects);
            }
        }
    }

    fn look_up_unclear(&mut self, answer: &LookUpAnswer, effects: &mut Vec<Effect>) {
        match answer {
            LookUpAnswer::Pending { retry_after_ms } => self.pending(*retry_after_ms, effects),
            LookUpAnswer::Unauthorized => self.not_authorized(effects),
            // A look-up that does not work must not keep the request from being sent.
            LookUpAnswer::Unknown { retry_after_ms: None } if self.inquiry == Inquiry::LookUpFirst => {
                self.send_after_look_up(effects)
            }
            LookUpAnswer::Unknown { retry_after_ms } => self.look_up_later(*retry_after_ms, effects),
            _ => {}
        }
    }

    fn send_after_look_up(&mut self, effects: &mut Vec<Effect>) {
        self.inquiry = Inquiry::LookUpFirst;
        effects.push(Effect::Call(self.request()));
    }

    /// The request got no definite answer.
    pub(super) fn unclear(&mut self, retry_after_ms: Option<u64>, effects: &mut Vec<Effect>) {
        self.attempts.unauthorized = 0;
        let is_payment = self.disbursement == Disbursement::Intended;
        let attempts = if is_payment { &mut self.attempts.disburse } else { &mut self.attempts.refund };
        *attempts = attempts.saturating_add(1);
        effects.push(Effect::RetryLater { attempts: *attempts, retry_after_ms });
    }

    /// Only a look-up can tell what becomes of it.
    pub(super) fn pending(&mut self, retry_after_ms: Option<u64>, effects: &mut Vec<Effect>) {
        self.inquiry = Inquiry::Pending;
        self.look_up_later(retry_after_ms, effects);
    }

    pub(super) fn look_up_later(&mut self, retry_after_ms: Option<u64>, effects: &mut Vec<Effect>) {
        self.attempts.unauthorized = 0;
        self.attempts.look_up = self.attempts.look_up.saturating_add(1);
        effects.push(Effect::RetryLater { attempts: self.attempts.look_up, retry_after_ms });
    }

    /// The gateway did not let us in. That says nothing of this payment, so it brings the saga no nearer to being stuck.
    pub(super) fn not_authorized(&mut self, effects: &mut Vec<Effect>) {
        self.attempts.unauthorized = self.attempts.unauthorized.saturating_add(1);
        effects.push(Effect::RetryLater { attempts: self.attempts.unauthorized, retry_after_ms: None });
    }

    /// A definite answer came.
    pub(super) fn end_inquiry(&mut self) {
        self.inquiry = Inquiry::Send;
        self.attempts.unauthorized = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::saga::fixture::intended;
    use crate::domain::saga::{Input, State, advance};

    const UNKNOWN: LookUpAnswer = LookUpAnswer::Unknown { retry_after_ms: None };

    fn looking_up_first() -> Saga {
        Saga { inquiry: Inquiry::LookUpFirst, ..intended(None) }
    }

    fn found(saga: Saga, answer: LookUpAnswer) -> (Saga, Vec<Effect>) {
        advance(saga, Input::LookedUp { answer, key_expired: false })
    }

    fn resumed(saga: Saga) -> Vec<Effect> {
        advance(saga, Input::Resume).1
    }

    #[test]
    fn after_some_unclear_answers_the_payment_is_looked_up_before_its_key_is_sent_again() {
        let unknown = || Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: None });
        let (once, _) = advance(intended(None), unknown());
        let once = once.after_unclear_answers(2);
        assert!(matches!(resumed(once.clone())[..], [Effect::Call(Call::Pay { .. })]));
        let (twice, _) = advance(once, unknown());
        let twice = twice.after_unclear_answers(2);
        assert!(matches!(resumed(twice.clone())[..], [Effect::Call(Call::LookUp { .. })]));
        for nothing in [LookUpAnswer::NotFound, UNKNOWN] {
            let (sent, effects) = found(twice.clone(), nothing);
            assert!(matches!(effects[..], [Effect::Call(Call::Pay { .. })]), "it proves nothing: {effects:?}");
            assert_eq!(sent.disbursement, Disbursement::Intended);
        }
        let (settled, _) = found(twice, LookUpAnswer::Paid { amount_cents: 100 });
        assert_eq!((settled.state(), settled.inquiry), (State::Settled, Inquiry::Send));
    }

    #[test]
    fn what_is_pending_is_looked_up_until_it_is_definite() {
        let (mut saga, _) = advance(intended(None), Input::PayAnswer(PayAnswer::Pending { retry_after_ms: Some(9) }));
        for answer in [LookUpAnswer::Pending { retry_after_ms: None }, UNKNOWN] {
            assert!(matches!(resumed(saga.clone())[..], [Effect::Call(Call::LookUp { .. })]));
            let (next, effects) = found(saga, answer);
            assert!(matches!(effects[..], [Effect::RetryLater { .. }]), "nothing is sent: {effects:?}");
            saga = next;
        }
        let (sent, effects) = found(saga.clone(), LookUpAnswer::NotFound);
        assert!(matches!(effects[..], [Effect::Call(Call::Pay { .. })]), "{effects:?}");
        assert_eq!(sent.disbursement, Disbursement::Intended);
        let (declined, _) = found(saga, LookUpAnswer::Declined { code: "no".into() });
        assert_eq!((declined.state(), declined.disbursement), (State::Unwound, Disbursement::Declined));
    }

    #[test]
    fn a_key_that_the_gateway_may_have_forgotten_is_not_sent_after_a_look_up_that_found_nothing() {
        let expired = Input::LookedUp { answer: LookUpAnswer::NotFound, key_expired: true };
        let (saga, effects) = advance(looking_up_first(), expired);
        assert!(matches!(effects[..], [Effect::Stuck(_), Effect::RetryLater { .. }]), "{effects:?}");
        assert_eq!(saga.trust, Trust::LookingUp);
    }

    #[test]
    fn a_refund_is_looked_up_like_a_payment() {
        let refunding = || Saga {
            disbursement: Disbursement::RefundIntended { amount_cents: 100 },
            attempts: crate::domain::saga::Attempts { refund: 3, ..Default::default() },
            ..advance(
                intended(None),
                Input::Claim(crate::domain::saga::ClaimUpdate {
                    version: 2,
                    ..crate::domain::saga::fixture::update(None)
                }),
            )
            .0
        };
        let saga = refunding().after_unclear_answers(3);
        assert!(matches!(resumed(saga.clone())[..], [Effect::Call(Call::LookUp { .. })]));
        let (_, effects) = found(saga.clone(), LookUpAnswer::Paid { amount_cents: 100 });
        assert!(matches!(effects[..], [Effect::Call(Call::Refund { .. })]), "{effects:?}");
        let (unwound, _) = found(saga.clone(), LookUpAnswer::Refunded { amount_cents: 100 });
        assert_eq!(unwound.state(), State::Unwound);
        let (odd, effects) = found(saga, LookUpAnswer::NotFound);
        assert!(matches!(effects[..], [Effect::Alarm(_), Effect::RetryLater { .. }]), "{effects:?}");
        assert_eq!(odd.disbursement, Disbursement::RefundIntended { amount_cents: 100 });
    }

    #[test]
    fn not_being_let_in_counts_apart_until_the_gateway_answers() {
        let (saga, effects) = advance(intended(None), Input::PayAnswer(PayAnswer::Unauthorized));
        assert_eq!((saga.attempts.disburse, saga.attempts.unauthorized), (0, 1));
        assert!(matches!(effects[..], [Effect::RetryLater { attempts: 1, .. }]), "{effects:?}");
        let (saga, _) = advance(saga, Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: None }));
        assert_eq!((saga.attempts.disburse, saga.attempts.unauthorized), (1, 0));
    }
}
