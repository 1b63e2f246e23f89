//! A claim that may be stored: every field is parsed, and nothing is missing.

use super::identifiers::{Identifier, ProcedureCode, Quadrant};
use super::service_date::ServiceDate;
use claim_events::Cents;
use claim_events::Npi;

/// A claim. It has at least one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The sender's own id, where one was sent.
    pub external_claim_id: Option<Identifier>,
    /// The plan or group that pays.
    pub plan_group: Identifier,
    /// The subscriber: patient data. It leaves the service only in responses that show the claim, never in an event or a log.
    pub subscriber_id: Identifier,
    /// The provider that is paid.
    pub provider_npi: Npi,
    /// The lines, in the order sent.
    pub lines: Vec<Line>,
}

/// One line of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The day of the service.
    pub service_date: ServiceDate,
    /// The procedure code.
    pub submitted_procedure: ProcedureCode,
    /// The quadrant, where one was sent.
    pub quadrant: Option<Quadrant>,
    /// What the provider charges.
    pub provider_fees: Cents,
    /// What the plan allows.
    pub allowed_fees: Cents,
    /// The member's share by percentage.
    pub member_coinsurance: Cents,
    /// The member's fixed share.
    pub member_copay: Cents,
}

impl Line {
    /// Provider fees + member coinsurance + member copay - allowed fees.
    pub fn net_fee(&self) -> Cents {
        self.provider_fees + self.member_coinsurance + self.member_copay - self.allowed_fees
    }
}

impl Claim {
    /// The sum of the lines' net fees.
    pub fn net_fee(&self) -> Cents {
        self.lines.iter().map(Line::net_fee).sum()
    }
}
