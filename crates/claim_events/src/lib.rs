//! The contract between claim_process and payments: the events, their envelope and their topics.
//!
//! Every event is a [`ClaimEvent`] on [`CLAIM_TOPIC`] or a [`PaymentMessage`] on [`PAYMENT_TOPIC`], keyed by its claim's id
//! and wrapped in an [`Envelope`] (CloudEvents 1.0, Kafka binding, binary mode). Bodies are JSON; money is integer cents;
//! readers ignore fields they do not know. The files under `golden/` freeze version 1: a change that alters one of them
//! breaks every deployed reader and needs a new topic. This crate does no I/O.
//!
//! Nothing here carries a subscriber id or any other patient data.

mod cents;
mod claim_event;
mod envelope;
mod event;
mod identifiers;
mod payment_attention;
mod payment_event;

pub use cents::{Cents, CentsText, MOST_CENTS, NotMoney};
pub use claim_event::{ClaimBody, ClaimEvent, ClaimLine, KnownOutcome, OutcomeRecorded};
pub use envelope::{DecodeError, Envelope, Headers, rfc3339};
pub use event::{Encoded, Event};
pub use identifiers::{ClaimId, NotAnId, Npi};
pub use payment_attention::{PaymentAttention, PaymentMessage};
pub use payment_event::{Cause, Compensation, OutcomeKind, PaymentEvent, Settled, Step, Unwound};

/// The topic of claim_process' events.
pub const CLAIM_TOPIC: &str = "claims.claim.v1";

/// The topic of payments' events.
pub const PAYMENT_TOPIC: &str = "payments.payment.v1";

/// Partitions of each topic. Never changed in place: the key decides the partition, so a change would split a claim.
pub const PARTITIONS: i32 = 12;
