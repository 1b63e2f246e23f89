//! A plan allows at most what the provider charges. If more is allowed, the net fee can fall below zero, and the
//! provider owes the plan. Corrections are sent like that, too, so the rule warns.

use super::example::Example;
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "allowed_above_fees",
    description: "The allowed fees of a line are not above its provider fees.",
    fields: &[Field::AllowedFees.name()],
    source: "this system",
    severity: Severity::Warn,
    settable: true,
    breaks: Example::Line(&[("allowed_fees", "\"100.01\"")]),
    passes: Example::Line(&[("allowed_fees", "\"99.99\"")]),
    check: Check::Claim(|claim, _| {
        claim.each_line(Field::AllowedFees, |line| {
            (line.allowed_fees? > line.provider_fees?)
                .then_some("is more than the provider fees: check whether the two amounts were exchanged")
        })
    }),
};
