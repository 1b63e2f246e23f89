//! A claim is often sent twice by mistake: with the same plan, subscriber, provider and lines as an active claim, which is
//! one that is neither voided nor unwound. The same work may also be done twice, so the rule warns.
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
    description: "No active claim, which is one that is neither voided nor unwound, has the same plan, subscriber, provider and lines, in any order. The example breaks the rule if it is stored already.",
    fields: &["lines"],
    source: "this system",
    severity: Severity::Warn,
    settable: true,
    breaks: GOOD,
    passes: Example::Line(&[("service_date", "\"2018-03-29\"")]),
    check: Check::Stored(message),
};

/// How a claim is compared with stored claims, and what happens if one equals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateCheck {
    /// SHA-256 of plan, subscriber, provider and lines, the same for equal claims. It is stored only in the claim's own row.
    pub digest: [u8; 32],
    /// Whether the claim is refused if one equals it; otherwise it gets a warning.
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

/// Each text is preceded by its length, so that different claims have different bytes; lines are sorted, because their order
/// does not matter.
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
