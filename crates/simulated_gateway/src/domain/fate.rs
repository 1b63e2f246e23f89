//! The rules by cents: the cents of an amount choose its fate, so that each kind of failure can be produced on demand.
//!
//! | cents | the payment | its refund |
//! |---|---|---|
//! | 31 | is declined | |
//! | 37 | is made, and the first response is lost | is made |
//! | 41 | the first request is lost, the next one is approved | is made |
//! | 43 | is throttled twice (429), then approved | is made |
//! | 47 | is made with another amount | is made |
//! | 53 | is made and, if a webhook URL is set, returned later | is made, unless the payment was returned |
//! | 59 | is made with another amount | fails once (503), or as often as is set, then is made |
//! | else | is approved | is made |
//!
//! Random faults are in [`faults`](super::faults).

use super::request::Amount;

/// The difference between the requested and the paid amount where they differ, in cents: one dollar, which keeps the cents.
const TOO_MUCH_CENTS: i64 = 100;

/// How often requests with a key are throttled.
const TIMES_THROTTLED: i64 = 2;

/// The fate of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is paid.
    Approved,
    /// It is declined, for good under the same key.
    Declined,
    /// It is paid, but the first response is lost.
    ResponseLost,
    /// The first request is lost.
    RequestLost,
    /// The first two requests are throttled.
    Throttled,
    /// Another amount is paid.
    OtherAmount,
    /// It is paid, and the payee's bank returns it later.
    ReturnedLater,
    /// Another amount is paid, and the first refunds fail.
    OtherAmountAndRefundFails,
}

/// What to do with one request for a payment that has no definite response yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make the payment.
    Approve {
        /// The amount to pay, in cents.
        paid_cents: i64,
        /// Whether to close the connection instead of responding.
        response_is_lost: bool,
    },
    /// Decline for good.
    Decline,
    /// Act as if the request was lost: pay nothing and close the connection.
    Lose,
    /// Pay nothing and respond with 429.
    Throttled,
}

impl Fate {
    /// The fate of an amount.
    pub fn of(amount: Amount) -> Self {
        match amount.cents() % 100 {
            31 => Fate::Declined,
            37 => Fate::ResponseLost,
            41 => Fate::RequestLost,
            43 => Fate::Throttled,
            47 => Fate::OtherAmount,
            53 => Fate::ReturnedLater,
            59 => Fate::OtherAmountAndRefundFails,
            _ => Fate::Approved,
        }
    }

    /// What to do with the `attempt`th request for this amount under one key, counted from 1.
    pub fn verdict(self, amount: Amount, attempt: i64) -> Verdict {
        let approve = |more_cents, response_is_lost| Verdict::Approve {
            paid_cents: amount.cents() + more_cents,
            response_is_lost,
        };
        match self {
            Fate::Approved | Fate::ReturnedLater => approve(0, false),
            Fate::Declined => Verdict::Decline,
            Fate::ResponseLost => approve(0, true),
            Fate::RequestLost if attempt == 1 => Verdict::Lose,
            Fate::Throttled if attempt <= TIMES_THROTTLED => Verdict::Throttled,
            Fate::RequestLost | Fate::Throttled => approve(0, false),
            Fate::OtherAmount | Fate::OtherAmountAndRefundFails => approve(TOO_MUCH_CENTS, false),
        }
    }

    /// Whether the `attempt`th refund of such a payment fails, counted from 1 over all keys, if the first `refund_failures` do.
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
        Verdict::Approve { paid_cents, response_is_lost: false }
    }

    #[test]
    fn the_cents_choose_the_verdict() {
        assert_eq!(verdicts(11_685), [approved(11_685); 4]);
        assert_eq!(verdicts(10_031), [Verdict::Decline; 4]);
        assert_eq!(verdicts(10_037)[0], Verdict::Approve { paid_cents: 10_037, response_is_lost: true });
        assert_eq!(verdicts(10_041), [Verdict::Lose, approved(10_041), approved(10_041), approved(10_041)]);
        assert_eq!(verdicts(43), [Verdict::Throttled, Verdict::Throttled, approved(43), approved(43)]);
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
