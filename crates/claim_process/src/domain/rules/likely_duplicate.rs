//! A claim is often sent twice by mistake: with the same plan, subscriber, provider and lines as an active claim, which is
//! one that is neither voided nor unwound. The same work may also be done twice, so the rule warns.
//!
//! Only an `Idempotency-Key` or an `external_claim_id` makes a repeat impossible: two instances that store equal claims at
//! the same moment do not see each other's.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::canonical::canonical;
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
    /// [`content_digest`] of the claim. It is stored only in the claim's own row.
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

/// What counts of a line, as text and cents.
#[derive(Debug, Clone, Copy)]
pub struct ContentLine<'a> {
    /// As `2018-03-28`.
    pub service_date: &'a str,
    /// The procedure code.
    pub submitted_procedure: &'a str,
    /// Empty where none was sent.
    pub quadrant: &'a str,
    /// Provider fees, allowed fees, coinsurance and copay.
    pub amounts_cents: [i64; 4],
}

/// SHA-256 of plan and subscriber in their canonical forms, provider and lines, the same for equal claims.
///
/// Each text is preceded by its length, so that different claims have different bytes; lines are sorted, because their order
/// does not matter.
pub fn content_digest<'a>(
    plan_group: &str,
    subscriber_id: &str,
    provider_npi: &str,
    lines: impl Iterator<Item = ContentLine<'a>>,
) -> [u8; 32] {
    let mut lines: Vec<Vec<u8>> = lines
        .map(|line| {
            let mut bytes = Vec::with_capacity(96);
            put(&mut bytes, line.service_date);
            put(&mut bytes, line.submitted_procedure);
            put(&mut bytes, line.quadrant);
            for cents in line.amounts_cents {
                bytes.extend(cents.to_be_bytes());
            }
            bytes
        })
        .collect();
    lines.sort_unstable();
    let mut bytes = Vec::with_capacity(128);
    put(&mut bytes, &canonical(plan_group));
    put(&mut bytes, &canonical(subscriber_id));
    put(&mut bytes, provider_npi);
    let mut digest = Sha256::new_with_prefix(bytes);
    lines.iter().for_each(|line| digest.update(line));
    digest.finalize().into()
}

fn digest(claim: &Claim) -> [u8; 32] {
    let dates: Vec<String> = claim.lines.iter().map(|line| line.service_date.to_string()).collect();
    let lines = claim.lines.iter().zip(&dates).map(|(line, date)| ContentLine {
        service_date: date,
        submitted_procedure: line.submitted_procedure.as_str(),
        quadrant: line.quadrant.map_or("", |quadrant| quadrant.as_str()),
        amounts_cents: [line.provider_fees.0, line.allowed_fees.0, line.member_coinsurance.0, line.member_copay.0],
    });
    let (plan_group, subscriber_id) = (claim.plan_group.as_str(), claim.subscriber_id.as_str());
    content_digest(plan_group, subscriber_id, claim.provider_npi.as_str(), lines)
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_be_bytes());
    bytes.extend(text.as_bytes());
}
