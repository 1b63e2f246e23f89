//! A gateway in memory: it honours keys, keeps a book by claim, and takes its time or breaks as chance says.

use payments::domain::saga::{Call, Input, LookUpAnswer, PayAnswer, RefundAnswer};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a claim's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Approved,
    Declined,
    /// It pays this much more than was requested.
    OtherAmount(i64),
    /// It never answers a request to pay, and does not pay.
    SilentOnPay,
    /// It pays another amount, and never answers the request to give it back, and does not.
    SilentOnRefund,
    /// It pays, and answers no request to pay with anything definite, ever: only a look-up finds the payment.
    BrokenOncePaid,
    /// It has the payment as pending until it was looked up so often.
    Pending(u32),
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing is done, and no answer is sent.
    RequestLost,
    /// It is done, and no answer is sent.
    AnswerLost,
    /// Nothing is done, and the answer is to retry later.
    Refused {
        retry_after_ms: Option<u64>,
    },
}

/// What a claim's payments came to.
#[derive(Debug, Default, Clone)]
pub struct Book {
    pub payments: BTreeMap<String, i64>,
    /// Refunds that stand.
    pub refunds: BTreeMap<String, i64>,
    /// The keys of those that failed later.
    failed_refunds: BTreeSet<String>,
    pub returned_cents: i64,
    declined: bool,
    pending: Option<Pending>,
}

/// A payment that is not made yet.
#[derive(Debug, Clone)]
struct Pending {
    key: String,
    amount_cents: i64,
    look_ups_left: u32,
}

impl Book {
    pub fn out_cents(&self) -> i64 {
        self.payments.values().sum()
    }

    pub fn back_cents(&self) -> i64 {
        self.refunds.values().sum::<i64>() + self.returned_cents
    }
}

#[derive(Debug, Default)]
pub struct Gateway {
    pub fates: BTreeMap<String, Fate>,
    pub books: BTreeMap<String, Book>,
    pub is_healed: bool,
}

impl Gateway {
    /// A request arrives; what the payer hears of it, if anything.
    pub fn serve(&mut self, call: &Call, fault: Fault) -> Option<Input> {
        let reference = reference(call);
        let fate = self.fates[reference];
        let is_silent = match call {
            Call::Pay { .. } => fate == Fate::SilentOnPay,
            Call::Refund { .. } => fate == Fate::SilentOnRefund,
            Call::LookUp { .. } => false,
        };
        if fault == Fault::RequestLost || (is_silent && !self.is_healed) {
            return None;
        }
        if let Fault::Refused { retry_after_ms } = fault {
            return Some(unknown(call, retry_after_ms));
        }
        let answer = self.do_it(call, fate);
        (fault != Fault::AnswerLost).then_some(answer)
    }

    fn do_it(&mut self, call: &Call, fate: Fate) -> Input {
        let book = self.books.entry(reference(call).to_owned()).or_default();
        match call {
            Call::Pay { key, amount_cents, .. } => {
                if fate == Fate::Declined {
                    book.declined = true;
                    return Input::PayAnswer(PayAnswer::Declined { code: "insufficient_funds".into() });
                }
                if let (Fate::Pending(look_ups_left), true) = (fate, book.payments.is_empty()) {
                    let pending = || Pending { key: key.clone(), amount_cents: *amount_cents, look_ups_left };
                    book.pending.get_or_insert_with(pending);
                    return Input::PayAnswer(PayAnswer::Pending { retry_after_ms: None });
                }
                let paid = match fate {
                    Fate::OtherAmount(more) => amount_cents + more,
                    Fate::SilentOnRefund => amount_cents + 1,
                    _ => *amount_cents,
                };
                let paid = *book.payments.entry(key.clone()).or_insert(paid);
                if fate == Fate::BrokenOncePaid {
                    return unknown(call, None);
                }
                Input::PayAnswer(PayAnswer::Approved { amount_cents: paid })
            }
            Call::Refund { .. } if book.returned_cents > 0 => Input::RefundAnswer(RefundAnswer::AlreadyReturned),
            Call::Refund { key, .. } if book.failed_refunds.contains(key) => Input::RefundAnswer(RefundAnswer::Failed),
            Call::Refund { .. } if !book.refunds.is_empty() => Input::RefundAnswer(RefundAnswer::Refunded),
            Call::Refund { key, amount_cents, .. } => {
                assert_eq!(*amount_cents, book.out_cents(), "what was paid is taken back");
                book.refunds.insert(key.clone(), *amount_cents);
                Input::RefundAnswer(RefundAnswer::Refunded)
            }
            Call::LookUp { .. } => {
                if let Some(pending) = book.pending.take_if(|pending| pending.look_ups_left == 0) {
                    book.payments.insert(pending.key, pending.amount_cents);
                }
                if let Some(pending) = &mut book.pending {
                    pending.look_ups_left -= 1;
                    let answer = LookUpAnswer::Pending { retry_after_ms: None };
                    return Input::LookedUp { answer, key_expired: false };
                }
                let amount_cents = book.out_cents();
                let answer = if book.declined {
                    LookUpAnswer::Declined { code: "insufficient_funds".into() }
                } else if book.payments.is_empty() {
                    LookUpAnswer::NotFound
                } else if book.returned_cents > 0 {
                    LookUpAnswer::Returned { amount_cents }
                } else if !book.refunds.is_empty() {
                    LookUpAnswer::Refunded { amount_cents }
                } else {
                    LookUpAnswer::Paid { amount_cents }
                };
                Input::LookedUp { answer, key_expired: false }
            }
        }
    }

    /// A refund that stands fails; its key, and how much it was.
    pub fn refund_fails(&mut self, claim_id: &str) -> Option<(String, i64)> {
        let book = self.books.get_mut(claim_id)?;
        let (key, cents) = book.refunds.pop_first()?;
        book.failed_refunds.insert(key.clone());
        Some((key, cents))
    }

    /// The payee's bank sends the money back, if it is there; how much.
    pub fn bank_returns(&mut self, claim_id: &str) -> Option<i64> {
        let book = self.books.get_mut(claim_id)?;
        if book.payments.is_empty() || book.back_cents() > 0 {
            return None;
        }
        book.returned_cents = book.out_cents();
        Some(book.returned_cents)
    }
}

pub fn reference(call: &Call) -> &str {
    match call {
        Call::Pay { reference, .. } | Call::Refund { reference, .. } | Call::LookUp { reference, .. } => reference,
    }
}

/// What a payer makes of a call that was not answered.
pub fn unknown(call: &Call, retry_after_ms: Option<u64>) -> Input {
    match call {
        Call::Pay { .. } => Input::PayAnswer(PayAnswer::Unknown { retry_after_ms }),
        Call::Refund { .. } => Input::RefundAnswer(RefundAnswer::Unknown { retry_after_ms }),
        Call::LookUp { .. } => Input::LookedUp { answer: LookUpAnswer::Unknown { retry_after_ms }, key_expired: false },
    }
}
