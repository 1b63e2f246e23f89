//! The lines of one claim agree on plan, subscriber and provider; the service dates may differ.

use super::{Draft, DraftLine, Rule, Severity, Violation};
use crate::domain::field::Field;

pub(super) const RULE: Rule = Rule {
    code: "lines_disagree",
    severity: Severity::Reject,
    settable: false,
    check: |claim, _| {
        let mut violations = disagreeing(claim, Field::PlanGroup, |line| line.plan_group.as_ref());
        violations.extend(disagreeing(claim, Field::SubscriberId, |line| line.subscriber_id.as_ref()));
        violations.extend(disagreeing(claim, Field::ProviderNpi, |line| line.provider_npi.as_ref()));
        violations
    },
};

fn disagreeing<T: PartialEq>(claim: &Draft, field: Field, value: impl Fn(&DraftLine) -> Option<&T>) -> Vec<Violation> {
    let Some(first) = claim.lines.iter().find_map(&value) else { return Vec::new() };
    let other = claim.lines.iter().position(|line| value(line).is_some_and(|value| value != first));
    let message =
        "must be the same in all lines of a claim: send another claim for the others, in a request of its own";
    other.map(|index| Violation { line: Some(index + 1), field, message: message.to_owned() }).into_iter().collect()
}
