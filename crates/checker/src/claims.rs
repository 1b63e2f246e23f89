//! Each claim that a client tried to submit, against the stored ones.

use crate::history::{Answer, Attempt, End, History};
use crate::observed::{Claim, Observed};
use crate::violation::{Report, Rule};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub(crate) fn check(history: &History, observed: &Observed, report: &mut Report) {
    let by_id: HashMap<&str, &Claim> = observed.claims.iter().map(|claim| (claim.id.as_str(), claim)).collect();
    if by_id.len() < observed.claims.len() {
        report.violation(Rule::NotDoubled, "claims", "two stored claims have the same id");
    }
    let mut by_subscriber: HashMap<&str, Vec<&Claim>> = HashMap::new();
    for claim in &observed.claims {
        by_subscriber.entry(&claim.content.subscriber_id).or_default().push(claim);
    }
    let mut sent = HashSet::new();
    for attempt in &history.attempts {
        report.count("attempts", 1);
        report.count("requests", attempt.tries.len());
        let mut own: BTreeSet<&str> = attempt.accepted_ids().collect();
        let found = by_subscriber.get(attempt.content.subscriber_id.as_str()).into_iter().flatten();
        own.extend(found.map(|claim| claim.id.as_str()));
        sent.extend(own.iter().copied());
        check_attempt(attempt, &own, &by_id, report);
    }
    for claim in observed.claims.iter().filter(|claim| !sent.contains(claim.id.as_str())) {
        report.violation(Rule::WasSent, &claim.id, "no client sent it");
    }
    check_totals(observed, report);
}

/// `own`: the ids that it was answered with, and those of the stored claims with its subscriber.
fn check_attempt(attempt: &Attempt, own: &BTreeSet<&str>, by_id: &HashMap<&str, &Claim>, report: &mut Report) {
    let accepted: BTreeSet<&str> = attempt.accepted_ids().collect();
    report.count("answered with 2xx", usize::from(!accepted.is_empty()));
    report.count("duplicates absorbed", attempt.accepted_ids().count().saturating_sub(1));
    if own.len() > 1 {
        report.violation(Rule::NotDoubled, &attempt.key, format!("it has the ids {own:?}"));
    }
    for id in accepted.iter().filter(|id| !by_id.contains_key(*id)) {
        report.violation(
            Rule::NotLost,
            id,
            format!("it was answered with 2xx (key {}) and is not stored", attempt.key),
        );
    }
    let stored = own.iter().filter_map(|id| by_id.get(id));
    let is_refused = accepted.is_empty()
        && attempt.tries.iter().all(|one| one.answer.as_ref().is_some_and(Answer::is_refusal))
        && !attempt.tries.is_empty();
    for claim in stored {
        if is_refused {
            report.violation(Rule::RefusedIsAbsent, &claim.id, format!("it was refused (key {})", attempt.key));
        }
        if claim.content != attempt.content {
            report.violation(Rule::Unchanged, &claim.id, difference(attempt, claim));
        }
        check_end(attempt, claim, report);
    }
}

fn difference(attempt: &Attempt, claim: &Claim) -> String {
    let (sent, stored) = (&attempt.content, &claim.content);
    if sent.lines.len() != stored.lines.len() {
        return format!("{} lines were sent, {} are stored", sent.lines.len(), stored.lines.len());
    }
    "its content is another than the one that was sent".to_owned()
}

fn check_end(attempt: &Attempt, claim: &Claim, report: &mut Report) {
    let end = match claim.status.as_str() {
        "settled" => End::Settled,
        "unwound" => End::Unwound,
        status => return report.violation(Rule::RightEnd, &claim.id, format!("it has not ended: it is {status}")),
    };
    report.count(if end == End::Settled { "settled" } else { "unwound" }, 1);
    let may_be_voided = !attempt.voids.is_empty();
    let is_right = if attempt.is_voided() {
        end == End::Unwound
    } else {
        attempt.ends.contains(&end) || (may_be_voided && end == End::Unwound)
    };
    if !is_right {
        let voided = if attempt.is_voided() { ", and a void of it was accepted" } else { "" };
        report.violation(
            Rule::RightEnd,
            &claim.id,
            format!("it is {}; it may end as {:?}{voided}", claim.status, attempt.ends),
        );
    }
}

fn check_totals(observed: &Observed, report: &mut Report) {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for claim in observed.claims.iter().filter(|claim| claim.status != "unwound") {
        let sum = sums.entry(&claim.content.provider_npi).or_default();
        *sum = (sum.0 + claim.content.net_fee_cents, sum.1 + 1);
    }
    let totals: BTreeMap<&str, (i64, i64)> = observed
        .totals
        .iter()
        .filter(|total| (total.net_fee_cents, total.claims) != (0, 0))
        .map(|total| (total.provider_npi.as_str(), (total.net_fee_cents, total.claims)))
        .collect();
    let providers: BTreeSet<&str> = sums.keys().chain(totals.keys()).copied().collect();
    for provider in providers {
        let [sum, total] = [&sums, &totals].map(|of| of.get(provider).copied().unwrap_or_default());
        if sum != total {
            report.violation(
                Rule::TotalsAreSums,
                provider,
                format!("its claims are {} cents of {} claims, its total {} of {}", sum.0, sum.1, total.0, total.1),
            );
        }
    }
}
