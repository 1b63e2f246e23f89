//! What the book says: the money that moved, and the payments there are.

/// How money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Out, to the payee.
    Payment,
    /// Back, because the payer asked.
    Refund,
    /// Back, because the payee's bank did not take it.
    Return,
}

impl Kind {
    /// All there are.
    pub const ALL: [Kind; 3] = [Kind::Payment, Kind::Refund, Kind::Return];

    /// Its name, in the book and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Payment => "payment",
            Kind::Refund => "refund",
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
    /// When, in microseconds since 1970 (UTC).
    pub at_us: i64,
    /// How the money moved.
    pub kind: Kind,
    /// For what.
    pub reference: String,
    /// How much, in cents.
    pub amount_cents: i64,
}

/// Money out and back, in cents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Paid.
    pub money_out_cents: i64,
    /// Refunded or returned.
    pub money_back_cents: i64,
}

/// The whole book in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Payments made.
    pub payments: i64,
    /// Refunds made.
    pub refunds: i64,
    /// References with a payment.
    pub claims: i64,
    /// The money.
    pub totals: Totals,
}

/// One reference's part of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimTotals {
    /// The reference.
    pub reference: String,
    /// Payments made for it; more than one means that somebody paid twice.
    pub payments: i64,
    /// The money.
    pub totals: Totals,
}

/// A payment that was approved or declined, as a look-up shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPayment {
    /// Its public id; a declined one has none.
    pub payment_id: Option<String>,
    /// The reference.
    pub reference: String,
    /// The key it was asked for with.
    pub idempotency_key: String,
    /// What was paid or, declined, asked for; in cents.
    pub amount_cents: i64,
    /// How the money came back, if it did.
    pub money_back: Option<Kind>,
}
