//! The rules for payments and refunds that come from the settings and not from the cents of an amount.

use super::faults::Faults;

/// The rules of the settings. By default only the cents of an amount cause failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Random faults.
    pub faults: Faults,
    /// How often a refund of an amount with the fate `OtherAmountAndRefundFails` fails.
    pub refund_failures: u32,
    /// How long after its payment an amount with the fate `ReturnedLater` is returned, and how long after its approval a refund
    /// fails, in microseconds; `None` without a webhook URL.
    pub returned_after_us: Option<i64>,
    /// How long a payment is pending, in microseconds.
    pub pending_us: i64,
}
