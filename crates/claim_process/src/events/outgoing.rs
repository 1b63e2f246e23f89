//! From a stored claim to the event that says what is now true of it.

use crate::db::claims::{ClaimRow, LineRow, StoredClaim};
use claim_events::{ClaimBody, ClaimEvent, ClaimLine, Encoded, Event, OutcomeRecorded, rfc3339};
use event_bus::OutgoingMessage;

/// The claim's current event: `claim.submitted`, or `claim.void_requested` once it is withdrawn. It can be said again at
/// any time, with the same id and what is known since.
pub fn current_event(claim: &StoredClaim) -> OutgoingMessage {
    let row = &claim.row;
    let body = ClaimBody {
        claim_id: row.claim_id.clone(),
        plan_group: row.plan_group.clone(),
        provider_npi: row.provider_npi.clone(),
        net_fee_cents: row.net_fee_cents,
        submitted_at: rfc3339(row.submitted_at_us),
        lines: claim.lines.iter().map(line).collect(),
        known_outcome: row.known_outcome(),
        resync_epoch: row.resync_epoch,
    };
    let event = if row.version == 1 { ClaimEvent::Submitted(body) } else { ClaimEvent::VoidRequested(body) };
    let since_us = row.voided_at_us.unwrap_or(row.submitted_at_us);
    encode(row, &event, row.version, since_us, &row.correlation_id)
}

/// The answer to an outcome nobody had asked for; `None` while the claim has none.
pub fn outcome_recorded(row: &ClaimRow, cause: &str) -> Option<OutgoingMessage> {
    let known_outcome = row.known_outcome()?;
    let recorded = OutcomeRecorded { claim_id: row.claim_id.clone(), known_outcome, resync_epoch: row.resync_epoch };
    let recorded_at_us = row.outcome_at_us?;
    Some(encode(row, &ClaimEvent::OutcomeRecorded(recorded), known_outcome.version, recorded_at_us, cause))
}

fn encode(row: &ClaimRow, event: &ClaimEvent, version: i64, at_us: i64, cause: &str) -> OutgoingMessage {
    let Encoded { topic, key, event_id, headers, body } =
        event.encode(version, rfc3339(at_us), &row.correlation_id, cause, row.traceparent.clone());
    OutgoingMessage { event_id, topic: topic.to_owned(), key, headers, body }
}

fn line(row: &LineRow) -> ClaimLine {
    ClaimLine {
        line: row.line,
        service_date: row.service_date.clone(),
        submitted_procedure: row.submitted_procedure.clone(),
        quadrant: row.quadrant.clone(),
        provider_fees_cents: row.provider_fees_cents,
        allowed_fees_cents: row.allowed_fees_cents,
        member_coinsurance_cents: row.member_coinsurance_cents,
        member_copay_cents: row.member_copay_cents,
        net_fee_cents: row.net_fee_cents,
    }
}
