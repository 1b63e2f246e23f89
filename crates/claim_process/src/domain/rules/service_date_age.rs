//! A service is not longer ago than the deployment allows. By default that is twenty years, which no plan's filing limit
//! reaches: a mistyped year, then, and refused. An office that knows its plans' limits sets fewer days.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "service_date_age",
    description: "A service date is not longer ago than checks.max_service_age_days says, 7305 days (twenty years) where it is not set.",
    fields: &[Field::ServiceDate.name()],
    source: "this system; how late a claim may be filed is in each plan's contract",
    severity: Severity::Reject,
    settable: true,
    breaks: Example::Line(&[("service_date", "\"1818-03-28\"")]),
    passes: GOOD,
    check: Check::Claim(|claim, context| {
        let most = context.limits.max_service_age_days;
        claim.each_line(Field::ServiceDate, |line| {
            let age_days = line.service_date?.days_until(context.latest_day);
            (age_days > i64::from(most)).then(|| format!("must be at most {most} days ago: check the year"))
        })
    }),
};
