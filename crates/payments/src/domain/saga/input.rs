//! What can happen to a saga, and what one write of it brings with it.

use crate::domain::gateway_call::{Call, LookUpAnswer, PayAnswer, RefundAnswer};
use crate::domain::ledger::Transfer;
use claim_events::{KnownOutcome, PaymentEvent};
use text_enum::text_enum;
use utoipa::ToSchema;

/// What happens to a saga.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// An event of the claim, new or repeated.
    Claim(ClaimUpdate),
    /// claim_process has recorded an unsolicited outcome.
    Recorded {
        /// The outcome it has.
        known: KnownOutcome,
        /// The resync epoch that comes with it.
        resync_epoch: i64,
    },
    /// The answer to [`Effect::Reserve`], given in the same write.
    Reserved {
        /// Whether the budget covers it.
        covered: bool,
    },
    /// An instance takes the saga up again: its last worker stopped, or a pause is over.
    Resume,
    /// The gateway's answer to [`Call::Pay`].
    PayAnswer(PayAnswer),
    /// The gateway's answer to [`Call::Refund`].
    RefundAnswer(RefundAnswer),
    /// The gateway's answer to [`Call::LookUp`].
    LookedUp {
        /// The answer.
        answer: LookUpAnswer,
        /// Whether the payment would be so old that the gateway may have forgotten its key: sent again, it would be a
        /// second payment.
        key_expired: bool,
    },
    /// The money came back by itself.
    Returned {
        /// How much, in cents.
        amount_cents: i64,
    },
    /// The refund failed that was requested last, although it may have been approved.
    RefundFailed {
        /// How much was refunded, in cents.
        amount_cents: i64,
    },
    /// An operator wants it tried again, now.
    Retried {
        /// Whether it was stuck.
        is_stuck: bool,
    },
    /// An operator gives the answer that the gateway does not give.
    Forced(Forced),
}

/// The gateway's answer to a planned call, as it comes to the saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The claim.
    pub claim_id: String,
    /// The revision under which the call was made.
    pub revision: i64,
    /// The answer.
    pub input: Input,
    /// The answer in a few words for an operator, such as "503", where it is not definite.
    pub unclear: Option<String>,
}

/// What one write of a saga brings with it. All but calls are part of that write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Book this reservation if the plan's budget covers it, and answer with [`Input::Reserved`].
    Reserve(Transfer),
    /// Book this reservation whether or not the budget covers it: the payment was made, or may have been.
    ReserveAnyway(Transfer),
    /// Book this transfer.
    Book(Transfer),
    /// Publish the outcome.
    Publish(PaymentEvent),
    /// After the write: call the gateway.
    Call(Call),
    /// Take the saga up again later.
    RetryLater {
        /// How often it was tried already.
        attempts: u32,
        /// How long the gateway demands to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// An operator must look: this should never be.
    Alarm(&'static str),
    /// It cannot go on by itself, for this reason; it is tried again at the longest pause.
    Stuck(&'static str),
}

/// What a claim's event brings to its saga.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimUpdate {
    /// The claim.
    pub claim_id: String,
    /// The plan that pays.
    pub plan_group: String,
    /// The provider that is paid.
    pub provider_npi: String,
    /// What is due, in cents.
    pub amount_cents: i64,
    /// When the claim was accepted, in microseconds since 1970 (UTC).
    pub submitted_at_us: i64,
    /// 1 submitted, 2 void requested.
    pub version: i64,
    /// The resync epoch.
    pub resync_epoch: i64,
    /// The outcome that claim_process has.
    pub known: Option<KnownOutcome>,
    /// Whether the claim was accepted so long ago that it is not begun to be paid any more.
    pub too_late: bool,
}

text_enum! {
    /// The answer that an operator gives in the gateway's place.
    #[derive(ToSchema)]
    #[schema(as = ForceAnswer)]
    pub enum Forced {
        /// It was paid, as was requested.
        Paid = "paid",
        /// It was not paid, and never will be.
        Declined = "declined",
        /// It was taken back.
        Refunded = "refunded",
        /// It came back by itself.
        Returned = "returned",
        /// It was paid, and the gateway will not give it back: the provider owes it.
        Owed = "owed",
    }
}

impl Forced {
    /// The names of these answers, in one line.
    pub fn names(answers: &[Forced]) -> String {
        answers.iter().map(|answer| answer.as_str()).collect::<Vec<_>>().join(", ")
    }
}
