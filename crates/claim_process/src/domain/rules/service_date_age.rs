//! A service is not older than the deployment allows. The default is twenty years, longer than any plan's filing limit, so an
//! older date is a mistyped year. A deployment that knows its plans' limits sets fewer days.

use super::example::{Example, GOOD};
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "service_date_age",
    description: "A service date is at most checks.max_service_age_days days ago (7305 by default, twenty years).",
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
