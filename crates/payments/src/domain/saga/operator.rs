//! What an operator does about a payment that does not get on: try it again at once, or, once it is stuck, give the answer
//! that the gateway does not give.
//!
//! The money rule holds for whoever forces: what they say of the gateway must be so. It is written who said it, and why.

use super::{Disbursement, Effect, LookUpAnswer, PayAnswer, RefundAnswer, Saga, Trust};
use crate::domain::ledger::Kind;
use crate::domain::reasons::Reason;
use claim_events::{Cause, Step};
use serde::{Deserialize, Serialize};

/// What the saga of a payment waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Whether it was paid.
    ForPayment,
    /// Whether it was taken back.
    ForRefund,
    /// What became of it, because the facts may be older than the world.
    ForLookUp,
}

/// What an operator says of a payment in the gateway's stead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forced {
    /// It was paid, as was asked.
    Paid,
    /// It was not paid, and never will be.
    Declined,
    /// It was taken back.
    Refunded,
    /// It came back by itself.
    Returned,
    /// It was paid, and the gateway will not give it back: the provider owes it.
    Owed,
}

impl Forced {
    /// All there are.
    pub const ALL: [Forced; 5] = [Forced::Paid, Forced::Declined, Forced::Refunded, Forced::Returned, Forced::Owed];

    /// Its name in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Forced::Paid => "paid",
            Forced::Declined => "declined",
            Forced::Refunded => "refunded",
            Forced::Returned => "returned",
            Forced::Owed => "owed",
        }
    }

    /// The answer with this name.
    pub fn of_name(name: &str) -> Option<Forced> {
        Forced::ALL.into_iter().find(|answer| answer.name() == name)
    }

    /// The names of these answers, in one line.
    pub fn names(answers: &[Forced]) -> String {
        answers.iter().map(|answer| answer.name()).collect::<Vec<_>>().join(", ")
    }
}

impl Waiting {
    /// In words.
    pub fn words(self) -> &'static str {
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
            (Trust::Sure, Disbursement::RefundIntended { .. }) => Some(Waiting::ForRefund),
            (Trust::Sure, _) => None,
        }
    }

    /// Whether an operator may force it: it is stuck, or an operator retried it while it was stuck and it still waits for the
    /// same answer. One that was never stuck there goes on by itself.
    pub fn may_be_forced(&self, is_stuck: bool) -> bool {
        self.waiting().is_some_and(|waiting| is_stuck || self.retried_wait == Some(waiting))
    }

    /// Counts its tries from zero again, and tries. What it was stuck at may be forced until it gets past it.
    pub(super) fn retried(&mut self, is_stuck: bool, effects: &mut Vec<Effect>) {
        self.attempts = super::Attempts::default();
        if is_stuck {
            self.retried_wait = self.waiting();
        }
        self.resume(effects);
    }

    /// Goes on as if the gateway had answered so. What it does not wait for changes nothing.
    pub(super) fn forced(&mut self, answer: Forced, effects: &mut Vec<Effect>) {
        let Some(waiting) = self.waiting().filter(|waiting| waiting.answers().contains(&answer)) else { return };
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
                    effects.push(Effect::Book(self.parties().transfer(Kind::Owe, amount_cents)));
                    self.disbursement = Disbursement::Owed { amount_cents };
                }
                self.proceed(effects);
            }
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
