//! A claim is for a service that was rendered. A service date is a local calendar date and says nothing of its time zone,
//! so the latest day that it is anywhere on Earth (UTC+14) is still today.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "service_date_future",
    description: "A service date is not in the future. Today is the latest day that it is anywhere on Earth, UTC+14, since a date does not tell its time zone.",
    fields: &[Field::ServiceDate.name()],
    source: "ADA Dental Claim Form, item 24 (Procedure Date): the day on which the service was rendered",
    severity: Severity::Reject,
    settable: true,
    breaks: Example::Line(&[("service_date", "\"2999-03-28\"")]),
    passes: GOOD,
    check: Check::Claim(|claim, context| {
        claim.each_line(Field::ServiceDate, |line| {
            (line.service_date? > context.latest_day)
                .then_some("must not be in the future: write the day on which the service was rendered")
        })
    }),
};
