//! What an operator does about a payment that does not get on: try it again at once, or, once it is stuck, give the answer
//! that the gateway does not give.
//!
//! The money rule holds for a forced answer too: the operator is responsible for its truth. Who gave it, and why, is recorded.

use super::facts::{Attempts, Disbursement, Saga, Trust};
use super::input::{Effect, Forced};
use crate::domain::gateway_call::{LookUpAnswer, PayAnswer, RefundAnswer};
use crate::domain::ledger::Kind;
use crate::domain::reasons::Reason;
use claim_events::{Cause, Step};

/// What the saga of a payment waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Whether it was paid.
    ForPayment,
    /// Whether it was taken back.
    ForRefund,
    /// What became of it, because the facts may be older than the world.
    ForLookUp,
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

    /// The answer that is assumed where an operator gives none: what is paid stays paid, and is owed. Of what may or may not
    /// have been paid, nothing is assumed.
    pub fn assumed(self) -> Option<Forced> {
        (self == Waiting::ForRefund).then_some(Forced::Owed)
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

    /// Counts its tries from zero, and tries.
    pub(super) fn retried(&mut self, effects: &mut Vec<Effect>) {
        self.attempts = Attempts::default();
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
                    effects.push(Effect::Book(self.parties().transfer(Kind::OpenReceivable, amount_cents)));
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
