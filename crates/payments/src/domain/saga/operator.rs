//! What an operator does about a payment that does not get on: try it again at once, or, once it is stuck, give the answer
//! that the gateway does not give.
//!
//! The money rule holds for a forced answer too: the operator is responsible for its truth. Who gave it, and why, is recorded.

use super::facts::{Attempts, Disbursement, Inquiry, Saga, Trust, Waiting};
use super::input::{Effect, Forced};
use crate::domain::gateway_call::{LookUpAnswer, PayAnswer, RefundAnswer};
use crate::domain::ledger::Kind;
use crate::domain::reasons::Reason;
use claim_events::{Cause, Step};
use text_enum::text_enum;
use utoipa::ToSchema;

text_enum! {
    /// The kinds of operator actions.
    #[derive(ToSchema)]
    #[schema(as = OperatorActionKind)]
    pub enum ActionKind {
        /// The payment is tried again at once.
        Retry = "retry",
        /// The operator gives the answer that the gateway does not give.
        Force = "force",
        /// A report of the gateway that cannot be placed is closed.
        ResolveReturn = "resolve_return",
    }
}

impl Waiting {
    /// What it is, in an error message.
    pub fn description(self) -> &'static str {
        match self {
            Waiting::ForPayment => "whether it was paid",
            Waiting::ForRefund => "whether it was taken back",
            Waiting::ForLookUp => "what became of it",
        }
    }

    /// The answers that an operator may give here.
    pub fn answers(self) -> &'static [Forced] {
        match self {
            Waiting::ForPayment => &[Forced::Paid, Forced::Declined],
            Waiting::ForRefund => &[Forced::Owed, Forced::Refunded, Forced::Returned],
            Waiting::ForLookUp => &[Forced::Paid, Forced::Declined, Forced::Refunded, Forced::Returned],
        }
    }
}

impl Saga {
    /// What it waits for from the gateway, if anything.
    pub fn waiting(&self) -> Option<Waiting> {
        match (self.trust, self.disbursement) {
            (Trust::Unverified, _) => None,
            (Trust::LookingUp, _) => Some(Waiting::ForLookUp),
            (Trust::Sure, Disbursement::Intended) => Some(Waiting::ForPayment),
            (Trust::Sure, Disbursement::RefundIntended { .. } | Disbursement::RefundFailed { .. }) => {
                Some(Waiting::ForRefund)
            }
            (Trust::Sure, _) => None,
        }
    }

    /// Whether an operator may force it: it is stuck, or an operator retried it while it was stuck and it still waits for the
    /// same answer. One that was never stuck there goes on by itself.
    pub fn may_be_forced(&self, is_stuck: bool) -> bool {
        self.waiting().is_some_and(|waiting| is_stuck || self.retried_wait == Some(waiting))
    }

    /// Counts its tries from zero, and tries. What it was stuck at may be forced until it gets past it.
    pub(super) fn retried(&mut self, is_stuck: bool, effects: &mut Vec<Effect>) {
        self.attempts = Attempts::default();
        self.inquiry = Inquiry::Send;
        self.refund_again();
        if is_stuck {
            self.retried_wait = self.waiting();
        }
        self.resume(effects);
    }

    /// Goes on as if the gateway had answered so. What it does not wait for changes nothing.
    pub(super) fn forced(&mut self, answer: Forced, effects: &mut Vec<Effect>) {
        let Some(waiting) = self.waiting().filter(|waiting| waiting.answers().contains(&answer)) else { return };
        self.refund_again();
        match (waiting, answer) {
            (Waiting::ForLookUp, _) => {
                if answer == Forced::Declined {
                    self.unwind(Cause::Operator, Some(Step::Disburse), Reason::forced());
                }
                self.reconcile(self.found(answer), false, effects);
            }
            (_, Forced::Paid) => self.pay_answered(PayAnswer::Approved { amount_cents: self.amount_cents }, effects),
            (_, Forced::Declined) => {
                self.disbursement = Disbursement::Declined;
                self.unwind(Cause::Operator, Some(Step::Disburse), Reason::forced());
                self.proceed(effects);
            }
            (_, Forced::Refunded) => self.refund_answered(&RefundAnswer::Refunded, effects),
            (_, Forced::Returned) => self.refund_answered(&RefundAnswer::AlreadyReturned, effects),
            (_, Forced::Owed) => {
                if let Disbursement::RefundIntended { amount_cents } = self.disbursement {
                    effects.push(Effect::Book(self.parties().transfer(Kind::OpenReceivable, amount_cents)));
                    self.disbursement = Disbursement::Owed { amount_cents };
                }
                self.proceed(effects);
            }
        }
    }

    /// After a refund that failed, another one is intended, under a key of its own.
    fn refund_again(&mut self) {
        if let (Trust::Sure, Disbursement::RefundFailed { amount_cents }) = (self.trust, self.disbursement) {
            self.disbursement = Disbursement::RefundIntended { amount_cents };
        }
    }

    /// What a look-up would have found.
    fn found(&self, answer: Forced) -> LookUpAnswer {
        let amount_cents = self.disbursement.paid_cents().unwrap_or(self.amount_cents);
        match answer {
            Forced::Paid | Forced::Owed => LookUpAnswer::Paid { amount_cents },
            Forced::Declined => LookUpAnswer::Declined { code: Reason::forced().code },
            Forced::Refunded => LookUpAnswer::Refunded { amount_cents },
            Forced::Returned => LookUpAnswer::Returned { amount_cents },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::saga::fixture::intended;
    use crate::domain::saga::{Input, advance};

    #[test]
    fn what_a_retry_allows_to_force_ends_when_the_payment_gets_past_it() {
        let saga = intended(None);
        assert!(saga.may_be_forced(true) && !saga.may_be_forced(false));
        let (going_on, _) = advance(saga.clone(), Input::Retried { is_stuck: false });
        assert!(!going_on.may_be_forced(false));
        let (retried, _) = advance(saga.clone(), Input::Retried { is_stuck: true });
        assert!(retried.may_be_forced(false));
        let (unknown, _) = advance(retried.clone(), Input::PayAnswer(PayAnswer::Unknown { retry_after_ms: None }));
        assert!(unknown.may_be_forced(false));
        let (refund, _) = advance(retried.clone(), Input::PayAnswer(PayAnswer::Approved { amount_cents: 150 }));
        assert_eq!((refund.waiting(), refund.may_be_forced(false)), (Some(Waiting::ForRefund), false));

        // Facts of a payment that no operator retried are written as they always were.
        let before = serde_json::to_value(&saga).unwrap();
        assert!(before.get("retried_wait").is_none(), "{before}");
        let after = serde_json::to_value(&retried).unwrap();
        assert_eq!(after["retried_wait"], "for_payment");
        assert_eq!(serde_json::from_value::<Saga>(after).unwrap(), retried);
    }
}
