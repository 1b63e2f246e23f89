//! A claim that was sent before is often sent again by mistake: same plan, subscriber, provider and lines, while the earlier
//! one stands (it is not unwound, and nobody has withdrawn it). The same work may be done twice, so it warns.
//!
//! Only an `Idempotency-Key` or an `external_claim_id` makes a repeat impossible: two instances that store equal claims at
//! the same moment do not see each other's.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::claim::Claim;
use crate::domain::finding::Finding;
use sha2::{Digest, Sha256};

pub(super) const RULE: Rule = Rule {
    code: "likely_duplicate",
    description: "No claim that stands has the same plan, subscriber, provider and lines, in whatever order. The example is one that was stored before.",
    fields: &["lines"],
    source: "this system",
    severity: Severity::Warn,
    settable: true,
    breaks: GOOD,
    passes: Example::Line(&[("service_date", "\"2018-03-29\"")]),
    check: Check::Stored(message),
};

/// By what a claim is compared with those that are stored, and what is done where one is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateCheck {
    /// SHA-256 of plan, subscriber, provider and lines. Equal claims have equal ones. It stays in the database, in the row
    /// whose content it is of.
    pub digest: [u8; 32],
    /// Whether an equal claim is refused; a warning otherwise.
    pub refuse: bool,
}

impl DuplicateCheck {
    pub(super) fn of(claim: &Claim, severity: Severity) -> Option<Self> {
        let refuse = match severity {
            Severity::Reject => true,
            Severity::Warn => false,
            Severity::Off => return None,
        };
        Some(Self { digest: digest(claim), refuse })
    }
}

/// The finding about a claim that equals the one with this id.
pub fn finding(claim_id: &str) -> Finding {
    Finding::of_claim(&RULE, message(claim_id))
}

fn message(claim_id: &str) -> String {
    format!(
        "are those of claim {claim_id}, for the same plan, subscriber and provider: check whether it was sent twice"
    )
}

/// Each text is preceded by its length, so that no two claims are written alike; lines are sorted, because their order
/// says nothing.
fn digest(claim: &Claim) -> [u8; 32] {
    let mut lines: Vec<Vec<u8>> = claim
        .lines
        .iter()
        .map(|line| {
            let mut bytes = Vec::new();
            put(&mut bytes, &line.service_date.to_string());
            put(&mut bytes, line.submitted_procedure.as_str());
            put(&mut bytes, line.quadrant.map_or("", |quadrant| quadrant.as_str()));
            for amount in [line.provider_fees, line.allowed_fees, line.member_coinsurance, line.member_copay] {
                bytes.extend(amount.0.to_be_bytes());
            }
            bytes
        })
        .collect();
    lines.sort_unstable();
    let mut bytes = Vec::new();
    put(&mut bytes, claim.plan_group.as_str());
    put(&mut bytes, claim.subscriber_id.as_str());
    put(&mut bytes, claim.provider_npi.as_str());
    bytes.extend(lines.concat());
    Sha256::digest(bytes).into()
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend(text.as_bytes());
}
