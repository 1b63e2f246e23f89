//! The net fee of a claim is limited, due to the provider or owed by it. The rule cannot be turned off, because a gateway
//! limits what it pays at once.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use super::violation::Violation;
use crate::domain::claim::Line;
use crate::domain::field::Field;
use crate::domain::partial_claim::PartialLine;
use claim_events::Cents;

pub(super) const RULE: Rule = Rule {
    code: "claim_limit",
    description: "The net fee of a claim, due to the provider or owed by it, is at most checks.max_claim_cents (99999999.99 by default).",
    fields: &[Field::ProviderFees.name()],
    source: "this system",
    severity: Severity::Reject,
    settable: false,
    breaks: Example::Claim(
        &[],
        &[
            &[("provider_fees", "\"99999999.99\""), ("allowed_fees", "\"0.00\"")],
            &[("provider_fees", "\"99999999.99\""), ("allowed_fees", "\"0.00\"")],
        ],
    ),
    passes: GOOD,
    check: Check::Claim(|claim, context| {
        // Lines that could not be parsed are refused anyway.
        let net_fee: Cents = claim.lines.iter().filter_map(PartialLine::finish).map(|line: Line| line.net_fee()).sum();
        let most = context.limits.max_claim;
        if net_fee.0.abs() <= most.0 {
            return Vec::new();
        }
        let message = format!(
            "add up to a net fee above {most} for the claim: check the amounts, or send the lines as several claims"
        );
        vec![Violation { line: None, field: Some(Field::ProviderFees), message }]
    }),
};
