//! What the clients did: every claim that they tried to submit, every answer, and every read, with times.

use serde::{Deserialize, Serialize};

/// What the clients of a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The claims that they tried to submit.
    pub attempts: Vec<Attempt>,
    /// What they read of claims.
    pub reads: Vec<Read>,
}

/// A claim that a client tried to submit, under one idempotency key, and perhaps to void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its idempotency key.
    pub key: String,
    /// The claim. No two attempts of a run have the same subscriber, by which a claim without an answer is found.
    pub content: Content,
    /// How it may end where it is not voided.
    pub ends: Vec<End>,
    /// Its requests, in order.
    pub tries: Vec<Try>,
    /// The requests to void it, in order.
    pub voids: Vec<Try>,
}

/// What makes a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The plan.
    pub plan_group: String,
    /// The subscriber.
    pub subscriber_id: String,
    /// The provider.
    pub provider_npi: String,
    /// Provider fees, coinsurance and copay less allowed fees, over all lines.
    pub net_fee_cents: i64,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A line of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// As 2026-03-28.
    pub service_date: String,
    /// As D0180.
    pub submitted_procedure: String,
    /// Provider fees.
    pub provider_fees_cents: i64,
    /// Allowed fees.
    pub allowed_fees_cents: i64,
    /// The member's coinsurance.
    pub member_coinsurance_cents: i64,
    /// The member's copay.
    pub member_copay_cents: i64,
}

/// How a claim ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It is paid.
    Settled,
    /// Nothing is paid, or everything that was paid is back.
    Unwound,
}

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it was sent, in microseconds since 1970.
    pub sent_at_us: i64,
    /// `None` where the connection failed or the client gave up: it may have been processed or not.
    pub answer: Option<Answer>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When it came, in microseconds since 1970.
    pub at_us: i64,
    /// The HTTP status; 200 and 422 for the result of a claim in a batch.
    pub status: u16,
    /// The claim that it names.
    pub claim_id: Option<String>,
}

/// A claim as a client read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// When the answer came, in microseconds since 1970.
    pub at_us: i64,
    /// When the request was sent, in microseconds since 1970.
    pub sent_at_us: i64,
    /// The claim.
    pub claim_id: String,
    /// Its status; `None` where the service did not know the claim.
    pub status: Option<String>,
    /// The version of its outcome; 0 without one.
    pub outcome_version: i64,
}

impl Answer {
    /// Whether the claim was accepted.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the request was understood and refused, so that it changed nothing. Too many requests, and a claim that exists, say
    /// nothing of the claim itself.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, 400 | 413 | 415 | 422)
    }
}

impl Attempt {
    /// The answers to its requests.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.tries.iter().filter_map(|one| one.answer.as_ref())
    }

    /// The ids that accepted it.
    pub(crate) fn accepted_ids(&self) -> impl Iterator<Item = &str> {
        self.answers().filter(|answer| answer.is_success()).filter_map(|answer| answer.claim_id.as_deref())
    }

    /// Whether a void of it was accepted.
    pub(crate) fn is_voided(&self) -> bool {
        self.voids.iter().filter_map(|one| one.answer.as_ref()).any(Answer::is_success)
    }
}
