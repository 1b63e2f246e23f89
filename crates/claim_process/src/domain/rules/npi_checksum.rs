//! The last digit of an NPI is a check digit (45 CFR 162.406). Most sample data breaks the rule, so it warns.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "npi_checksum",
    description: "The last digit of an NPI is its check digit: Luhn's over 80840 and the other nine.",
    fields: &[Field::ProviderNpi.name()],
    source: "45 CFR 162.406; ISO/IEC 7812-1",
    severity: Severity::Warn,
    settable: true,
    breaks: Example::Line(&[("provider_npi", "\"1497775531\"")]),
    passes: GOOD,
    check: Check::Claim(|claim, _| {
        // One warning a claim: all its lines have the same provider.
        let mut violations = claim.each_line(Field::ProviderNpi, |line| {
            let npi = line.provider_npi.as_ref()?;
            (!npi.has_valid_check_digit()).then_some("has a wrong check digit: compare it with the provider's card")
        });
        violations.truncate(1);
        violations
    }),
};
