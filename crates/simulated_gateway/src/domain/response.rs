//! Responses. A definite response stays the same for its key forever; after any other one the payer sends the request again.

/// The response to a payment request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentResponse {
    /// Definite: the payment was made.
    Approved {
        /// The payment's public id.
        payment_id: String,
        /// The paid amount in cents, which may differ from the requested one.
        paid_cents: i64,
        /// Whether the status is 201.
        created: bool,
    },
    /// Definite: no payment was made.
    Declined,
    /// The key was used with another body before.
    KeyReused,
    /// It is not decided yet: the payer is to look it up (202).
    Pending,
    /// Another request with the key is in progress (409).
    InProgress,
    /// A server error (500), although the payment was made.
    ServerError,
    /// No payment was made; the payer is to send the request again (429).
    Throttled,
    /// No response: the connection is closed.
    Lost,
}

/// The response to a refund request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundResponse {
    /// Definite: the payment was refunded.
    Refunded {
        /// The refund's public id.
        refund_id: String,
    },
    /// Definite: the payment was refunded before, under another key.
    AlreadyRefunded {
        /// That refund's public id.
        refund_id: String,
    },
    /// Definite: the payee's bank returned the payment before.
    AlreadyReturned,
    /// Definite: the refund with this key failed, after it was approved.
    FailedLater,
    /// There is no such payment yet.
    NoSuchPayment,
    /// Another amount was paid.
    OtherAmount,
    /// The key was used with another body before.
    KeyReused,
    /// The refund failed; the payer is to send the request again.
    Failed,
}

impl PaymentResponse {
    /// The name in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            PaymentResponse::Approved { .. } => "approved",
            PaymentResponse::Declined => "declined",
            PaymentResponse::KeyReused => "key_reused",
            PaymentResponse::Pending => "pending",
            PaymentResponse::InProgress => "in_progress",
            PaymentResponse::ServerError => "server_error",
            PaymentResponse::Throttled => "throttled",
            PaymentResponse::Lost => "lost",
        }
    }
}

impl RefundResponse {
    /// The name in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            RefundResponse::Refunded { .. } => "refunded",
            RefundResponse::AlreadyRefunded { .. } => "already_refunded",
            RefundResponse::AlreadyReturned => "already_returned",
            RefundResponse::FailedLater => "failed_later",
            RefundResponse::NoSuchPayment => "no_such_payment",
            RefundResponse::OtherAmount => "other_amount",
            RefundResponse::KeyReused => "key_reused",
            RefundResponse::Failed => "failed",
        }
    }
}
