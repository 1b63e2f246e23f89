//! Builds the events of a stored claim.

use crate::db::claims::{ClaimRow, LineRow, StoredClaim};
use claim_events::{ClaimBody, ClaimEvent, ClaimLine, Encoded, Event, OutcomeRecorded, rfc3339};
use event_bus::OutgoingMessage;

/// The claim's current event: `claim.submitted`, or `claim.void_requested` once it is voided. It can be re-published at any
/// time: it keeps its id, and carries the outcome and the resync epoch that the claim has by then.
pub fn current_event(claim: &StoredClaim) -> OutgoingMessage {
    let row = &claim.row;
    let body = ClaimBody {
        claim_id: row.claim_id.to_string(),
        plan_group: row.plan_group.clone(),
        provider_npi: row.provider_npi.to_string(),
        net_fee_cents: row.net_fee_cents.0,
        submitted_at: rfc3339(row.submitted_at_us),
        lines: claim.lines.iter().map(line).collect(),
        known_outcome: row.known_outcome(),
        resync_epoch: row.resync_epoch,
    };
    let event = if row.version == 1 { ClaimEvent::Submitted(body) } else { ClaimEvent::VoidRequested(body) };
    let since_us = row.voided_at_us.unwrap_or(row.submitted_at_us);
    encode(row, &event, row.version, since_us, &row.correlation_id)
}

/// The event that acknowledges an unsolicited outcome, which is the `cause`; `None` if the claim has no outcome.
pub fn outcome_recorded(row: &ClaimRow, cause: &str) -> Option<OutgoingMessage> {
    let (known_outcome, recorded_at_us) = (row.known_outcome()?, row.outcome.as_ref()?.at_us);
    let recorded =
        OutcomeRecorded { claim_id: row.claim_id.to_string(), known_outcome, resync_epoch: row.resync_epoch };
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
