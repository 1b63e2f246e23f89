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
//! | 61 | is pending for a while (202), then approved | is made |
//! | 67 | is pending for a while (202), then declined | |
//! | 71 | is made, with the status 201 | is made |
//! | 73 | is in progress twice (409), then approved | is made |
//! | 79 | is made, and every response for its key is 500, for ever | is made |
//! | 83 | is made, and every response for its key is that the key is taken (409), for ever | is made |
//! | 89 | is made with another amount | is made; the first one fails later, if a webhook URL is set |
//! | 97 | is made and, if a webhook URL is set, returned later in two parts | is made, unless the payment was returned |
//! | else | is approved | is made |
//!
//! Random faults are in [`faults`](super::faults).

use super::request::Amount;

/// The difference between the requested and the paid amount where they differ, in cents: one dollar, which keeps the cents.
const TOO_MUCH_CENTS: i64 = 100;

/// How often requests with a key are throttled, or in progress.
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
    /// It is pending for a while, and then paid.
    PendingThenApproved,
    /// It is pending for a while, and then declined for good.
    PendingThenDeclined,
    /// It is paid, and the response has the status 201.
    Created,
    /// The first two requests are in progress.
    InProgress,
    /// It is paid, and each response is a server error.
    BrokenOncePaid,
    /// It is paid, and each response is that the key is taken.
    KeyTakenOncePaid,
    /// Another amount is paid, and the first refund fails after it was approved.
    OtherAmountAndRefundFailsLater,
    /// It is paid, and the payee's bank returns it later, in two parts.
    ReturnedInParts,
}

/// How the response to a payment that was made is sent, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// As it is.
    Plain,
    /// With the status 201.
    Created,
    /// As a server error.
    ServerError,
    /// As if the key was used with another body.
    KeyTaken,
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
    /// Decide later.
    Pend,
    /// Pay nothing and respond that a request with this key is in progress.
    InProgress,
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
            61 => Fate::PendingThenApproved,
            67 => Fate::PendingThenDeclined,
            71 => Fate::Created,
            73 => Fate::InProgress,
            79 => Fate::BrokenOncePaid,
            83 => Fate::KeyTakenOncePaid,
            89 => Fate::OtherAmountAndRefundFailsLater,
            97 => Fate::ReturnedInParts,
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
            Fate::Approved
            | Fate::ReturnedLater
            | Fate::ReturnedInParts
            | Fate::Created
            | Fate::BrokenOncePaid
            | Fate::KeyTakenOncePaid => approve(0, false),
            Fate::PendingThenApproved | Fate::PendingThenDeclined => Verdict::Pend,
            Fate::InProgress if attempt <= TIMES_THROTTLED => Verdict::InProgress,
            Fate::Declined => Verdict::Decline,
            Fate::ResponseLost => approve(0, true),
            Fate::RequestLost if attempt == 1 => Verdict::Lose,
            Fate::Throttled if attempt <= TIMES_THROTTLED => Verdict::Throttled,
            Fate::RequestLost | Fate::Throttled | Fate::InProgress => approve(0, false),
            Fate::OtherAmount | Fate::OtherAmountAndRefundFails | Fate::OtherAmountAndRefundFailsLater => {
                approve(TOO_MUCH_CENTS, false)
            }
        }
    }

    /// What becomes of a pending payment in the end.
    pub fn verdict_after_pending(self, amount: Amount) -> Verdict {
        match self {
            Fate::PendingThenDeclined => Verdict::Decline,
            _ => Verdict::Approve { paid_cents: amount.cents(), response_is_lost: false },
        }
    }

    /// How the response to such a payment is sent, once it is made.
    pub fn wrapping(self) -> Wrapping {
        match self {
            Fate::Created => Wrapping::Created,
            Fate::BrokenOncePaid => Wrapping::ServerError,
            Fate::KeyTakenOncePaid => Wrapping::KeyTaken,
            _ => Wrapping::Plain,
        }
    }

    /// The parts in which such a payment is returned later: none where it is not.
    pub fn returned_parts(self, paid_cents: i64) -> Vec<i64> {
        match self {
            Fate::ReturnedLater => vec![paid_cents],
            Fate::ReturnedInParts if paid_cents > 1 => {
                let first = (paid_cents * 2 / 5).max(1);
                vec![first, paid_cents - first]
            }
            Fate::ReturnedInParts => vec![paid_cents],
            _ => Vec::new(),
        }
    }

    /// Whether the `attempt`th refund of such a payment, counted from 1 over all keys, fails after it was approved.
    pub fn refund_fails_later(self, attempt: i64) -> bool {
        self == Fate::OtherAmountAndRefundFailsLater && attempt == 1
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
        assert_eq!(verdicts(10_061), [Verdict::Pend; 4]);
        assert_eq!(verdicts(10_067), [Verdict::Pend; 4]);
        assert_eq!(verdicts(73), [Verdict::InProgress, Verdict::InProgress, approved(73), approved(73)]);
        for cents in [10_071, 10_079, 10_083, 10_097] {
            assert_eq!(verdicts(cents), [approved(cents); 4]);
        }
        assert_eq!(verdicts(10_089), [approved(10_189); 4]);
    }

    #[test]
    fn what_is_pending_is_decided_and_what_is_returned_in_parts_is_returned_whole() {
        let amount = Amount::from_cents(10_061).unwrap();
        assert_eq!(Fate::PendingThenApproved.verdict_after_pending(amount), approved(10_061));
        assert_eq!(Fate::PendingThenDeclined.verdict_after_pending(amount), Verdict::Decline);
        assert_eq!(Fate::ReturnedInParts.returned_parts(10_000), [4_000, 6_000]);
        assert_eq!(Fate::ReturnedInParts.returned_parts(97), [38, 59]);
        assert_eq!(Fate::ReturnedInParts.returned_parts(2), [1, 1]);
        assert_eq!(Fate::ReturnedLater.returned_parts(53), [53]);
        assert!(Fate::Approved.returned_parts(53).is_empty());
        assert!(Fate::of(Amount::from_cents(89).unwrap()).refund_fails_later(1));
        assert!(!Fate::of(Amount::from_cents(89).unwrap()).refund_fails_later(2));
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
