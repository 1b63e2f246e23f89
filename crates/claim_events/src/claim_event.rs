//! The events of claim_process: a claim was submitted or voided, or an unsolicited outcome was recorded.

use crate::event::{from_json, to_json};
use crate::{CLAIM_TOPIC, DecodeError, Event, OutcomeKind};
use serde::{Deserialize, Serialize};

/// An event of claim_process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimEvent {
    /// `claim.submitted`, version 1 of the claim.
    Submitted(ClaimBody),
    /// `claim.void_requested`, version 2 of the claim: undo whatever was done. It carries everything that `submitted`
    /// carries, so it is enough by itself when it arrives first.
    VoidRequested(ClaimBody),
    /// `claim.outcome_recorded`, with the outcome's version: an unsolicited outcome was applied.
    OutcomeRecorded(OutcomeRecorded),
}

/// What payments needs to know of a claim, and the outcome that claim_process has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimBody {
    /// The claim's public id.
    pub claim_id: String,
    /// The plan or group that pays.
    pub plan_group: String,
    /// The provider that is paid, a ten-digit NPI.
    pub provider_npi: String,
    /// What is due to the provider, in cents; below zero where the provider owes the plan.
    pub net_fee_cents: i64,
    /// When the claim was accepted, RFC 3339 in UTC.
    pub submitted_at: String,
    /// The claim's lines, in order.
    pub lines: Vec<ClaimLine>,
    /// The outcome claim_process has, if any.
    pub known_outcome: Option<KnownOutcome>,
    /// Unix seconds: 0 at first, raised by `reannounce` and recovery only. payments echoes the highest one in every
    /// outcome, and claim_process ignores outcomes that echo an older one.
    pub resync_epoch: i64,
}

/// One line of a claim. Amounts are cents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimLine {
    /// 1 for the first.
    pub line: i64,
    /// `YYYY-MM-DD`.
    pub service_date: String,
    /// The CDT procedure code as submitted.
    pub submitted_procedure: String,
    /// The quadrant or area of the oral cavity, where one was given.
    pub quadrant: Option<String>,
    /// What the provider charges.
    pub provider_fees_cents: i64,
    /// What the plan allows.
    pub allowed_fees_cents: i64,
    /// The member's share by percentage.
    pub member_coinsurance_cents: i64,
    /// The member's fixed share.
    pub member_copay_cents: i64,
    /// Provider fees + coinsurance + copay - allowed fees.
    pub net_fee_cents: i64,
}

/// The outcome claim_process already has of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KnownOutcome {
    /// Settled or unwound.
    #[serde(rename = "type")]
    pub kind: OutcomeKind,
    /// The version of the outcome.
    pub version: i64,
}

/// The reply to an unsolicited outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRecorded {
    /// The claim.
    pub claim_id: String,
    /// The outcome that claim_process now has.
    pub known_outcome: KnownOutcome,
    /// As in [`ClaimBody::resync_epoch`].
    pub resync_epoch: i64,
}

impl Event for ClaimEvent {
    const TOPIC: &'static str = CLAIM_TOPIC;
    const SOURCE: &'static str = "/claim_process";
    const TYPES: &'static [&'static str] = &["claim.submitted", "claim.void_requested", "claim.outcome_recorded"];

    fn event_type(&self) -> &'static str {
        match self {
            ClaimEvent::Submitted(_) => "claim.submitted",
            ClaimEvent::VoidRequested(_) => "claim.void_requested",
            ClaimEvent::OutcomeRecorded(_) => "claim.outcome_recorded",
        }
    }

    fn claim_id(&self) -> &str {
        match self {
            ClaimEvent::Submitted(claim) | ClaimEvent::VoidRequested(claim) => &claim.claim_id,
            ClaimEvent::OutcomeRecorded(recorded) => &recorded.claim_id,
        }
    }

    fn body(&self) -> String {
        match self {
            ClaimEvent::Submitted(claim) | ClaimEvent::VoidRequested(claim) => to_json(claim),
            ClaimEvent::OutcomeRecorded(recorded) => to_json(recorded),
        }
    }

    fn from_body(event_type: &str, body: &[u8]) -> Result<Self, DecodeError> {
        match event_type {
            "claim.submitted" => from_json("claim.submitted", body).map(ClaimEvent::Submitted),
            "claim.void_requested" => from_json("claim.void_requested", body).map(ClaimEvent::VoidRequested),
            "claim.outcome_recorded" => from_json("claim.outcome_recorded", body).map(ClaimEvent::OutcomeRecorded),
            _ => Err(DecodeError::UnknownType),
        }
    }
}
