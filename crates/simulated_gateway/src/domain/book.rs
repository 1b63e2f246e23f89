//! Entries, totals and payments of the book.

/// The kind of a movement of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the payer to the payee.
    Payment,
    /// Back to the payer, who requested it.
    Refund,
    /// To the payee again: a refund failed after it was approved.
    RefundFailed,
    /// Back to the payer, because the payee's bank returned the payment.
    Return,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] = [Kind::Payment, Kind::Refund, Kind::RefundFailed, Kind::Return];

    /// The name in the book and in responses.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Payment => "payment",
            Kind::Refund => "refund",
            Kind::RefundFailed => "refund_failed",
            Kind::Return => "return",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An entry of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The time, in microseconds since 1970 (UTC).
    pub at_us: i64,
    /// The kind of movement.
    pub kind: Kind,
    /// The payer's reference.
    pub reference: String,
    /// The amount, in cents.
    pub amount_cents: i64,
}

/// The sums of money out and money back, in cents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Paid.
    pub money_out_cents: i64,
    /// Refunded or returned, less the refunds that failed.
    pub money_back_cents: i64,
}

/// The totals of the whole book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The number of payments.
    pub payments: i64,
    /// The number of refunds.
    pub refunds: i64,
    /// The number of references with a payment.
    pub claims: i64,
    /// The money.
    pub totals: Totals,
}

/// The totals of one reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimTotals {
    /// The reference.
    pub reference: String,
    /// The number of its payments; more than one means that the payer paid twice.
    pub payments: i64,
    /// The money.
    pub totals: Totals,
}

/// A payment that was approved or declined, or is pending, as a look-up shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPayment {
    /// The public id; `None` if it was declined or is pending.
    pub payment_id: Option<String>,
    /// Whether it is pending.
    pub is_pending: bool,
    /// The reference.
    pub reference: String,
    /// The idempotency key of its request.
    pub idempotency_key: String,
    /// The paid amount or, if it was declined, the requested one; in cents.
    pub amount_cents: i64,
    /// Whether and how it was refunded or returned.
    pub money_back: Option<Kind>,
}
