//! What is requested of the gateway, and what it can answer.

/// A call of the gateway. The key is the same however often it is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// Pay the provider.
    Pay {
        /// The idempotency key.
        key: String,
        /// The claim id, by which the gateway's book knows it.
        reference: String,
        /// Who is paid.
        payee: String,
        /// How much, in cents.
        amount_cents: i64,
    },
    /// Take a payment back.
    Refund {
        /// The idempotency key.
        key: String,
        /// The claim id.
        reference: String,
        /// How much was paid, in cents.
        amount_cents: i64,
    },
    /// Look up what became of a payment.
    LookUp {
        /// The idempotency key of the payment.
        key: String,
        /// The claim id.
        reference: String,
    },
}

/// A call that follows the commit of a saga, and the revision its answer is written against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCall {
    /// The claim.
    pub claim_id: String,
    /// The revision of its saga.
    pub revision: i64,
    /// The call.
    pub call: Call,
    /// How often the payment was tried before without a definite answer.
    pub tries: u32,
}

/// The gateway's answer to a request to pay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PayAnswer {
    /// It paid.
    Approved {
        /// What it paid, in cents.
        amount_cents: i64,
    },
    /// It did not and will not, for this key.
    Declined {
        /// Its own code.
        code: String,
    },
    /// Only a look-up can tell: the gateway has it as pending, or knows the key from another request.
    Pending {
        /// How long the gateway demands to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The gateway does not accept our credentials, and did nothing.
    Unauthorized,
    /// It is not known: a time-out, a 5xx, a lost connection, nonsense, or "come back later".
    Unknown {
        /// How long the gateway demands to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// The gateway's answer to a request to refund.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RefundAnswer {
    /// The money is back.
    Refunded,
    /// It had come back by itself.
    AlreadyReturned,
    /// The refund of this key failed, for good, perhaps after it was approved.
    Failed,
    /// Only a look-up can tell: the gateway has it as pending, or knows the key from another request.
    Pending {
        /// How long the gateway demands to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The gateway does not accept our credentials, and did nothing.
    Unauthorized,
    /// It is not known.
    Unknown {
        /// How long the gateway demands to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// What the gateway knows of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LookUpAnswer {
    /// Nothing, now: a request may still be on its way.
    NotFound,
    /// It declined it.
    Declined {
        /// Its own code.
        code: String,
    },
    /// It paid, and the money is not back.
    Paid {
        /// What it paid, in cents.
        amount_cents: i64,
    },
    /// It paid, and took the payment back at our wish.
    Refunded {
        /// What it paid, in cents.
        amount_cents: i64,
    },
    /// It paid, and the payment came back by itself.
    Returned {
        /// What it paid, in cents.
        amount_cents: i64,
    },
    /// It has the payment, or its refund, as pending.
    Pending {
        /// How long the gateway demands to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The gateway does not accept our credentials.
    Unauthorized,
    /// It is not known.
    Unknown {
        /// How long the gateway demands to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}
