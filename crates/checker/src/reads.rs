//! What clients read of claims while the system ran: it only advances.

use crate::history::{History, Read};
use crate::violation::{Report, Rule};
use std::collections::HashMap;

pub(crate) fn check(history: &History, report: &mut Report) {
    report.count("reads", history.reads.len());
    let mut of_claim: HashMap<&str, Vec<&Read>> = HashMap::new();
    for read in &history.reads {
        of_claim.entry(&read.claim_id).or_default().push(read);
    }
    // When each claim was first answered with 2xx: from then on it is found.
    let mut accepted_at_us: HashMap<&str, i64> = HashMap::new();
    for answer in history.attempts.iter().flat_map(|attempt| attempt.answers()).filter(|answer| answer.is_success()) {
        if let Some(id) = &answer.claim_id {
            let at_us = accepted_at_us.entry(id).or_insert(i64::MAX);
            *at_us = answer.at_us.min(*at_us);
        }
    }
    for (claim, mut reads) in of_claim {
        reads.sort_by_key(|read| read.at_us);
        for read in &reads {
            if read.status.is_none() && accepted_at_us.get(claim).is_some_and(|at_us| *at_us <= read.sent_at_us) {
                report.violation(Rule::ReadsAdvance, claim, "it was accepted, and then not found");
            }
        }
        for (index, later) in reads.iter().enumerate() {
            // Two reads that overlap in time may be answered in any order.
            let earlier = reads[..index].iter().filter(|earlier| earlier.at_us <= later.sent_at_us);
            for earlier in earlier {
                if let Some(back) = goes_back(earlier, later) {
                    report.violation(Rule::ReadsAdvance, claim, back);
                    break;
                }
            }
        }
    }
}

fn goes_back(earlier: &Read, later: &Read) -> Option<String> {
    let (Some(before), Some(after)) = (&earlier.status, &later.status) else {
        return (earlier.status.is_some()).then(|| "it was found, and then not".to_owned());
    };
    let rank = |status: &str| match status {
        "submitted" => 0,
        "settled" => 1,
        "void_requested" => 2,
        _ => 3,
    };
    (rank(after) < rank(before) || later.outcome_version < earlier.outcome_version).then(|| {
        format!(
            "it was {before} (outcome version {}), and then {after} (outcome version {})",
            earlier.outcome_version, later.outcome_version
        )
    })
}
