//! What was published and journaled, against the claims and the answers.

use crate::history::History;
use crate::observed::{Claim, Event, JournalRecord, Observed};
use crate::violation::{Report, Rule};
use std::collections::{HashMap, HashSet};

pub(crate) fn check(history: &History, observed: &Observed, report: &mut Report) {
    let claims: HashMap<&str, &Claim> = observed.claims.iter().map(|claim| (claim.id.as_str(), claim)).collect();
    if let Some(events) = &observed.events {
        check_events(events, &claims, report);
    }
    if let Some(journal) = &observed.journal {
        check_journal(history, observed.events.as_deref().unwrap_or_default(), journal, &claims, report);
    }
}

fn check_events(events: &[Event], claims: &HashMap<&str, &Claim>, report: &mut Report) {
    report.count("events", events.len());
    let mut content: HashMap<&str, &str> = HashMap::new();
    for event in events {
        match claims.get(event.claim_id.as_str()) {
            None => report.violation(Rule::EventHasClaim, &event.id, "its claim is not stored"),
            Some(claim) if is_of_claim(event) && event.version > claim.version => {
                report.violation(Rule::EventHasClaim, &event.id, format!("its claim has version {}", claim.version));
            }
            Some(_) => {}
        }
        let first = content.entry(&event.id).or_insert(&event.content);
        if *first != event.content {
            report.violation(Rule::EventIsOne, &event.id, "it was published with two contents");
        }
    }
}

/// Whether it is one of the events that a claim's version is for.
fn is_of_claim(event: &Event) -> bool {
    matches!(event.kind.as_str(), "claim.submitted" | "claim.void_requested")
}

fn check_journal(
    history: &History,
    events: &[Event],
    journal: &[JournalRecord],
    claims: &HashMap<&str, &Claim>,
    report: &mut Report,
) {
    report.count("journal records", journal.len());
    let journaled: HashSet<(&str, i64)> =
        journal.iter().map(|record| (record.claim_id.as_str(), record.version)).collect();
    let mut missing = HashSet::new();
    for attempt in &history.attempts {
        missing.extend(attempt.accepted_ids().map(|id| (id, 1, "answered")));
        if attempt.is_voided() {
            missing.extend(attempt.accepted_ids().map(|id| (id, 2, "answered")));
        }
    }
    let published = events.iter().filter(|event| is_of_claim(event));
    missing.extend(published.map(|event| (event.claim_id.as_str(), event.version, "published")));
    missing.retain(|(id, version, _)| !journaled.contains(&(*id, *version)));
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort_unstable();
    for (id, version, how) in missing {
        report.violation(Rule::Journaled, id, format!("its version {version} was {how} and is in no journal"));
    }
    for record in journal {
        let stored = claims.get(record.claim_id.as_str());
        if let (Some(content), Some(claim)) = (&record.content, stored)
            && *content != claim.content
        {
            report.violation(Rule::Journaled, &record.claim_id, "the journal holds another content than the database");
        }
    }
}
