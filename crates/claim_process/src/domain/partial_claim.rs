//! A claim as far as it could be parsed, which is what rules check, and how it becomes a [`Claim`].

use super::claim::{Claim, Line};
use super::field::Field;
use super::identifiers::{Identifier, ProcedureCode, Quadrant};
use super::rules::violation::Violation;
use super::service_date::ServiceDate;
use claim_events::Cents;
use claim_events::Npi;

/// A claim as far as it could be parsed.
#[derive(Debug, Default)]
pub struct PartialClaim {
    /// The sender's own id for the claim.
    pub external_claim_id: Option<Identifier>,
    /// The lines, in the order sent.
    pub lines: Vec<PartialLine>,
}

/// A line as far as it could be parsed.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct PartialLine {
    pub service_date: Option<ServiceDate>,
    pub submitted_procedure: Option<ProcedureCode>,
    pub quadrant: Option<Quadrant>,
    pub plan_group: Option<Identifier>,
    pub subscriber_id: Option<Identifier>,
    pub provider_npi: Option<Npi>,
    pub provider_fees: Option<Cents>,
    pub allowed_fees: Option<Cents>,
    pub member_coinsurance: Option<Cents>,
    pub member_copay: Option<Cents>,
}

impl PartialClaim {
    /// Checks each line by itself: `check` returns what to write instead.
    pub fn each_line<Message: Into<String>>(
        &self,
        field: Field,
        check: impl Fn(&PartialLine) -> Option<Message>,
    ) -> Vec<Violation> {
        self.lines
            .iter()
            .enumerate()
            .filter_map(|(index, line)| {
                let message = check(line)?.into();
                Some(Violation { line: Some(index + 1), field: Some(field), message })
            })
            .collect()
    }

    /// The claim; `None` if anything is missing.
    pub(super) fn finish(self) -> Option<Claim> {
        let first = self.lines.first()?;
        Some(Claim {
            external_claim_id: self.external_claim_id,
            plan_group: first.plan_group.clone()?,
            subscriber_id: first.subscriber_id.clone()?,
            provider_npi: first.provider_npi.clone()?,
            lines: self.lines.iter().map(PartialLine::finish).collect::<Option<_>>()?,
        })
    }
}

impl PartialLine {
    /// The line; `None` if anything is missing.
    pub fn finish(&self) -> Option<Line> {
        Some(Line {
            service_date: self.service_date?,
            submitted_procedure: self.submitted_procedure?,
            quadrant: self.quadrant,
            provider_fees: self.provider_fees?,
            allowed_fees: self.allowed_fees?,
            member_coinsurance: self.member_coinsurance?,
            member_copay: self.member_copay?,
        })
    }
}
