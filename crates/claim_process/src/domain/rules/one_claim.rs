//! The lines of one claim agree on plan, subscriber and provider; the service dates may differ.

use super::example::Example;
use super::rule::{Check, Rule, Severity};
use super::violation::Violation;
use crate::domain::field::Field;
use crate::domain::partial_claim::{PartialClaim, PartialLine};

pub(super) const RULE: Rule = Rule {
    code: "lines_disagree",
    description: "All lines of a claim have the same plan, subscriber and provider. Their service dates may differ.",
    fields: &[Field::PlanGroup.name(), Field::SubscriberId.name(), Field::ProviderNpi.name()],
    source: "this system: a claim is paid as one, to one provider, by one plan",
    severity: Severity::Reject,
    settable: false,
    breaks: Example::Claim(&[], &[&[], &[("plan_group", "\"GRP-2000\"")]]),
    passes: Example::Claim(&[], &[&[], &[("service_date", "\"2018-03-29\"")]]),
    check: Check::Claim(|claim, _| {
        let mut violations = disagreeing(claim, Field::PlanGroup, |line| line.plan_group.as_ref());
        violations.extend(disagreeing(claim, Field::SubscriberId, |line| line.subscriber_id.as_ref()));
        violations.extend(disagreeing(claim, Field::ProviderNpi, |line| line.provider_npi.as_ref()));
        violations
    }),
};

fn disagreeing<T: PartialEq>(
    claim: &PartialClaim,
    field: Field,
    value: impl Fn(&PartialLine) -> Option<&T>,
) -> Vec<Violation> {
    let Some(first) = claim.lines.iter().find_map(&value) else { return Vec::new() };
    let other = claim.lines.iter().position(|line| value(line).is_some_and(|value| value != first));
    let message = "must be the same in all lines of a claim: send the other lines as another claim, in a request of its own or in a batch";
    other
        .map(|index| Violation { line: Some(index + 1), field: Some(field), message: message.to_owned() })
        .into_iter()
        .collect()
}
