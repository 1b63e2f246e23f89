//! Claims of all fates: the cents of a claim's net fee choose how the simulated gateway handles its payment, and so how the claim
//! must end.

use serde_json::{Value, json};

/// How the gateway handles a claim's payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Paid at once.
    Approved,
    /// `.31`: declined.
    Declined,
    /// `.37`: paid, but the answer is lost at first.
    AnswerLost,
    /// `.41`: the request is lost at first.
    RequestLost,
    /// `.43`: "too many requests" twice.
    Throttled,
    /// `.47`: another amount is paid.
    WrongAmount,
    /// `.59`: another amount is paid, and the first refund fails.
    WrongAmountRefundFails,
    /// `.53`: paid, and later returned by the payee's bank.
    ReturnedLater,
    /// `.61`: pending, and then paid.
    Pending,
    /// `.67`: pending, and then declined.
    PendingThenDeclined,
    /// `.71`: paid, with another status of success.
    Created,
    /// `.73`: a request in progress twice.
    InProgress,
    /// `.79`: paid, and no request for it is ever answered.
    BrokenOncePaid,
    /// `.83`: paid, and each request is answered as if its key was another's.
    KeyTakenOncePaid,
    /// `.97`: paid, and later returned in two parts.
    ReturnedInParts,
    /// `.89`: another amount is paid, and the first refund fails after it was approved; an operator has to act. Not in [`ALL`].
    RefundFailsLater,
    /// The plan's budget is 0.
    Broke,
    /// The net fee is 0.
    NothingDue,
    /// The net fee is below 0: the provider owes the plan.
    Debt,
}

/// All fates that end without an operator.
pub const ALL: [Fate; 18] = [
    Fate::Approved,
    Fate::Declined,
    Fate::AnswerLost,
    Fate::RequestLost,
    Fate::Throttled,
    Fate::WrongAmount,
    Fate::WrongAmountRefundFails,
    Fate::ReturnedLater,
    Fate::Pending,
    Fate::PendingThenDeclined,
    Fate::Created,
    Fate::InProgress,
    Fate::BrokenOncePaid,
    Fate::KeyTakenOncePaid,
    Fate::ReturnedInParts,
    Fate::Broke,
    Fate::NothingDue,
    Fate::Debt,
];

/// How a claim must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// `settled` or `unwound`.
    pub status: &'static str,
    /// The cause, for an unwound claim.
    pub cause: Option<&'static str>,
    /// The failed step, if any.
    pub failed_step: Option<&'static str>,
    /// The compensations, in order.
    pub compensations: &'static [&'static str],
}

impl Fate {
    /// How a claim with this fate must end.
    pub fn end(self) -> End {
        let settled = End { status: "settled", cause: None, failed_step: None, compensations: &[] };
        let unwound = |failed_step, compensations| End {
            status: "unwound",
            cause: Some("step_failed"),
            failed_step: Some(failed_step),
            compensations,
        };
        match self {
            Fate::Approved
            | Fate::AnswerLost
            | Fate::RequestLost
            | Fate::Throttled
            | Fate::Pending
            | Fate::Created
            | Fate::InProgress
            | Fate::BrokenOncePaid
            | Fate::KeyTakenOncePaid
            | Fate::NothingDue
            | Fate::Debt => settled,
            Fate::Declined | Fate::PendingThenDeclined => unwound("disburse", &["release"]),
            Fate::WrongAmount | Fate::WrongAmountRefundFails => unwound("disburse", &["refund", "release"]),
            // The refund that stands was made after the release.
            Fate::RefundFailsLater => unwound("disburse", &["release", "refund"]),
            Fate::ReturnedLater | Fate::ReturnedInParts => {
                End { status: "unwound", cause: Some("late_return"), failed_step: None, compensations: &["reverse"] }
            }
            Fate::Broke => unwound("reserve", &[]),
        }
    }

    /// A net fee, in cents, that chooses this fate.
    fn net_fee_cents(self, number: i64) -> i64 {
        let dollars = (1 + number % 400) * 100;
        match self {
            Fate::Approved | Fate::Broke => dollars + 85,
            Fate::Declined => dollars + 31,
            Fate::AnswerLost => dollars + 37,
            Fate::RequestLost => dollars + 41,
            Fate::Throttled => dollars + 43,
            Fate::WrongAmount => dollars + 47,
            Fate::WrongAmountRefundFails => dollars + 59,
            Fate::ReturnedLater => dollars + 53,
            Fate::Pending => dollars + 61,
            Fate::PendingThenDeclined => dollars + 67,
            Fate::Created => dollars + 71,
            Fate::InProgress => dollars + 73,
            Fate::BrokenOncePaid => dollars + 79,
            Fate::KeyTakenOncePaid => dollars + 83,
            Fate::ReturnedInParts => dollars + 97,
            Fate::RefundFailsLater => dollars + 89,
            Fate::NothingDue => 0,
            Fate::Debt => -dollars,
        }
    }

    /// The claim with this number: of one to three lines and one of seven providers.
    pub fn claim(self, number: i64) -> Value {
        let net_fee = self.net_fee_cents(number);
        let count = 1 + number % 3;
        let lines: Vec<Value> = (0..count)
            .map(|line| {
                // Each line but the last contributes 1.00 to the net fee; the last contributes the rest.
                let due = if line + 1 == count { net_fee - 100 * (count - 1) } else { 100 };
                let allowed = 50_000;
                json!({
                    "service_date": format!("2026-03-{:02}", 1 + (number + line) % 28),
                    "submitted_procedure": format!("D{:04}", 100 + line),
                    "provider_fees": money(allowed + due),
                    "allowed_fees": money(allowed),
                    "member_coinsurance": "0.00",
                    "member_copay": "0.00",
                })
            })
            .collect();
        json!({
            "plan_group": if self == Fate::Broke { "BROKE-1".to_owned() } else { format!("GRP-{}", number % 5) },
            "subscriber_id": format!("S{number:06}"),
            "provider_npi": format!("{:010}", 1_000_000_000 + number % 7),
            "lines": lines,
        })
    }
}

fn money(cents: i64) -> String {
    assert!(cents >= 0, "no amount of a line is negative");
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Money as the API writes it, in cents.
///
/// # Panics
/// If it is not money.
pub fn cents(text: &Value) -> i64 {
    let text = text.as_str().expect("money is text");
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (dollars, cents) = text.split_once('.').expect("money has two decimals");
    sign * (dollars.parse::<i64>().expect("dollars") * 100 + cents.parse::<i64>().expect("cents"))
}
