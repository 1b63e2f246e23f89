//! What a gateway answers. A definite answer stays the same for its key for ever; the others ask to come again.

/// The answer to a request for a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentAnswer {
    /// Definite: the money is on its way.
    Approved {
        /// The payment's public id.
        payment_id: String,
        /// How much was paid, in cents; not always what was asked for.
        paid_cents: i64,
    },
    /// Definite: nothing is paid.
    Declined,
    /// The key was used for something else before.
    KeyReused,
    /// Come again.
    PutOff,
    /// No answer at all: the connection breaks.
    Lost,
}

/// The answer to a request for a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundAnswer {
    /// Definite: the money is back.
    Refunded {
        /// The refund's public id.
        refund_id: String,
    },
    /// Definite: it was back before, by a refund under another key.
    AlreadyRefunded {
        /// That refund's public id.
        refund_id: String,
    },
    /// Definite: it was back before, because the payee's bank returned it.
    AlreadyReturned,
    /// There is no such payment now; there may be one later.
    NoSuchPayment,
    /// Another amount was paid.
    OtherAmount,
    /// The key was used for something else before.
    KeyReused,
    /// It did not work; come again.
    Failed,
}

impl PaymentAnswer {
    /// A name for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            PaymentAnswer::Approved { .. } => "approved",
            PaymentAnswer::Declined => "declined",
            PaymentAnswer::KeyReused => "key_reused",
            PaymentAnswer::PutOff => "put_off",
            PaymentAnswer::Lost => "lost",
        }
    }
}

impl RefundAnswer {
    /// A name for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            RefundAnswer::Refunded { .. } => "refunded",
            RefundAnswer::AlreadyRefunded { .. } => "already_refunded",
            RefundAnswer::AlreadyReturned => "already_returned",
            RefundAnswer::NoSuchPayment => "no_such_payment",
            RefundAnswer::OtherAmount => "other_amount",
            RefundAnswer::KeyReused => "key_reused",
            RefundAnswer::Failed => "failed",
        }
    }
}
