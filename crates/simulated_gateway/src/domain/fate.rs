//! The rules: the cents of an amount choose what becomes of it, so that anyone can see each kind of failure.
//!
//! | cents | a payment | its refund |
//! |---|---|---|
//! | 31 | is declined | |
//! | 37 | is made, and the first answer is lost | is made |
//! | 41 | the first request is lost, the next one is approved | is made |
//! | 43 | is put off twice (429), then approved | is made |
//! | 47 | is made with another amount | is made |
//! | 53 | is made, and comes back later by itself, where somebody is to be told of that | is made, if it is in time |
//! | 59 | is made with another amount | fails once (503), or as often as is set, then is made |
//! | else | is approved | is made |
//!
//! What goes wrong by chance besides is in [`faults`](super::faults).

use super::request::Amount;

/// How much more than was asked for is paid where another amount is paid, in cents: one dollar, so the cents stay.
const TOO_MUCH_CENTS: i64 = 100;

/// How often a key is put off.
const TIMES_PUT_OFF: i64 = 2;

/// What is to become of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is paid.
    Approved,
    /// It is not paid, and never will be under the same key.
    Declined,
    /// It is paid at once, but the first answer does not arrive.
    AnswerLost,
    /// The first request does not arrive.
    RequestLost,
    /// The payer is told twice to come again.
    PutOff,
    /// Another amount is paid.
    OtherAmount,
    /// It is paid, and the payee's bank sends it back later.
    ReturnedLater,
    /// Another amount is paid, and the first attempts to have it back fail.
    OtherAmountAndRefundFails,
}

/// What is done with one request for a payment that has no definite answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pay.
    Approve {
        /// How much, in cents.
        paid_cents: i64,
        /// Whether the connection breaks before the answer is sent.
        answer_is_lost: bool,
    },
    /// Decline for good.
    Decline,
    /// Do as if the request had not arrived: pay nothing and break the connection.
    Lose,
    /// Ask the payer to come again.
    PutOff,
}

impl Fate {
    /// The fate of an amount.
    pub fn of(amount: Amount) -> Self {
        match amount.cents() % 100 {
            31 => Fate::Declined,
            37 => Fate::AnswerLost,
            41 => Fate::RequestLost,
            43 => Fate::PutOff,
            47 => Fate::OtherAmount,
            53 => Fate::ReturnedLater,
            59 => Fate::OtherAmountAndRefundFails,
            _ => Fate::Approved,
        }
    }

    /// What is done with the `attempt`th request for this amount under one key, counted from 1.
    pub fn verdict(self, amount: Amount, attempt: i64) -> Verdict {
        let approve =
            |more_cents, answer_is_lost| Verdict::Approve { paid_cents: amount.cents() + more_cents, answer_is_lost };
        match self {
            Fate::Approved | Fate::ReturnedLater => approve(0, false),
            Fate::Declined => Verdict::Decline,
            Fate::AnswerLost => approve(0, true),
            Fate::RequestLost if attempt == 1 => Verdict::Lose,
            Fate::PutOff if attempt <= TIMES_PUT_OFF => Verdict::PutOff,
            Fate::RequestLost | Fate::PutOff => approve(0, false),
            Fate::OtherAmount | Fate::OtherAmountAndRefundFails => approve(TOO_MUCH_CENTS, false),
        }
    }

    /// Whether the `attempt`th attempt to refund such a payment fails, counted from 1 whatever the keys, where the first so
    /// many do.
    pub fn fails_refund(self, attempt: i64, refund_failures: u32) -> bool {
        self == Fate::OtherAmountAndRefundFails && attempt <= i64::from(refund_failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(cents: i64) -> Vec<Verdict> {
        let amount = Amount::from_cents(cents).unwrap();
        (1..=4).map(|attempt| Fate::of(amount).verdict(amount, attempt)).collect()
    }

    fn approved(paid_cents: i64) -> Verdict {
        Verdict::Approve { paid_cents, answer_is_lost: false }
    }

    #[test]
    fn the_cents_choose() {
        assert_eq!(verdicts(11_685), [approved(11_685); 4]);
        assert_eq!(verdicts(10_031), [Verdict::Decline; 4]);
        assert_eq!(verdicts(10_037)[0], Verdict::Approve { paid_cents: 10_037, answer_is_lost: true });
        assert_eq!(verdicts(10_041), [Verdict::Lose, approved(10_041), approved(10_041), approved(10_041)]);
        assert_eq!(verdicts(43), [Verdict::PutOff, Verdict::PutOff, approved(43), approved(43)]);
        assert_eq!(verdicts(10_047), [approved(10_147); 4]);
        assert_eq!(verdicts(10_053), [approved(10_053); 4]);
        assert_eq!(verdicts(10_059), [approved(10_159); 4]);
    }

    #[test]
    fn only_the_first_refunds_of_59_fail() {
        for cents in 1..=200 {
            let fate = Fate::of(Amount::from_cents(cents).unwrap());
            assert_eq!(fate.fails_refund(1, 1), cents % 100 == 59, "{cents}");
            assert!(!fate.fails_refund(2, 1), "{cents}");
            assert_eq!(fate.fails_refund(1_000, 1_000), cents % 100 == 59, "{cents}");
            assert!(!fate.fails_refund(1, 0), "{cents}");
        }
    }
}
