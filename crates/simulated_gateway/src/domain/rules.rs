//! By which rules the gateway deals with payers: what the cents of an amount do not decide by themselves.

use super::faults::Faults;

/// The rules that are set. Without any of them nothing goes wrong but what the cents of an amount choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What goes wrong by chance.
    pub faults: Faults,
    /// How often the refund of a payment fails whose amount chooses that.
    pub refund_failures: u32,
    /// How long after its payment an amount comes back whose fate that is, in microseconds; none where nobody is told.
    pub returned_after_us: Option<i64>,
}
