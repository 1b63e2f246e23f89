//! Builds the events of a stored claim.

use crate::db::claims::{LineRow, StoredClaim};
use crate::db::outcomes::OutcomeRow;
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
    let cause = &row.correlation_id;
    encode(&event, row.version, since_us, &row.correlation_id, cause, row.traceparent.clone())
}

/// The event that acknowledges an unsolicited outcome, which is the `cause`; `None` if the claim has no outcome.
pub fn outcome_recorded(row: &OutcomeRow, cause: &str) -> Option<OutgoingMessage> {
    let (known_outcome, recorded_at_us) = (row.known_outcome()?, row.outcome.as_ref()?.at_us);
    let recorded =
        OutcomeRecorded { claim_id: row.claim_id.to_string(), known_outcome, resync_epoch: row.resync_epoch };
    let event = ClaimEvent::OutcomeRecorded(recorded);
    Some(encode(&event, known_outcome.version, recorded_at_us, &row.correlation_id, cause, row.traceparent.clone()))
}

/// The most bytes that a line adds to a claim's event.
const MOST_LINE_BYTES: usize = 320;
/// The most bytes of a claim's event without its lines, with its key and its headers.
const MOST_OTHER_BYTES: usize = 2_048;

/// The most bytes that the event of a claim of so many lines can have as a message, whatever the claim holds: each of its fields
/// is bounded by its type.
pub const fn most_event_bytes(lines: usize) -> usize {
    MOST_OTHER_BYTES + lines * MOST_LINE_BYTES
}

fn encode(
    event: &ClaimEvent,
    version: i64,
    at_us: i64,
    correlation_id: &str,
    cause: &str,
    traceparent: Option<String>,
) -> OutgoingMessage {
    let Encoded { topic, key, event_id, headers, body } =
        event.encode(version, rfc3339(at_us), correlation_id, cause, traceparent);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::attention::Attention;
    use crate::db::claims::ClaimRow;
    use crate::db::outcome::StoredOutcome;
    use crate::domain::identifiers::{Identifier, ProcedureCode};
    use crate::domain::raw_claim::MOST_LINES;
    use crate::domain::transition::Status;
    use claim_events::{Cents, ClaimId, MOST_CENTS, Npi, OutcomeKind};

    /// Each field as long as its type allows.
    fn largest_claim() -> StoredClaim {
        let line = |line: usize| LineRow {
            claim_key: 1,
            line: i64::try_from(line).unwrap(),
            service_date: "2018-03-28".to_owned(),
            submitted_procedure: "D".repeat(ProcedureCode::MOST_CHARACTERS),
            quadrant: Some("UR".to_owned()),
            provider_fees_cents: -MOST_CENTS,
            allowed_fees_cents: -MOST_CENTS,
            member_coinsurance_cents: -MOST_CENTS,
            member_copay_cents: -MOST_CENTS,
            net_fee_cents: -4 * MOST_CENTS,
        };
        // No character takes more bytes in JSON.
        let plan_group = "\u{1d11e}".repeat(Identifier::MOST_CHARACTERS);
        assert!(Identifier::parse(&plan_group).is_some());
        let row = ClaimRow {
            id: 1,
            claim_id: ClaimId::parse(ClaimId::EXAMPLE).unwrap(),
            external_claim_id: None,
            status: Status::Settled,
            needs_attention: false,
            plan_group,
            subscriber_id: String::new(),
            provider_npi: Npi::parse("1497775530").unwrap(),
            net_fee_cents: Cents(-MOST_CENTS),
            submitted_at_us: 1_795_000_000_123_456,
            warnings: String::new(),
            correlation_id: "x".repeat(64),
            traceparent: Some("x".repeat(64)),
            version: 2,
            resync_epoch: i64::MIN,
            outcome: Some(StoredOutcome {
                kind: OutcomeKind::Settled,
                version: i64::MIN,
                at_us: 1,
                body: String::new(),
            }),
            next_attempt_at_us: None,
            request_count: 0,
            voided_at_us: Some(1_795_000_000_123_456),
            void_reason: None,
            attention: Attention::default(),
        };
        StoredClaim { row, lines: (1..=MOST_LINES).map(line).collect(), timeline: Vec::new() }
    }

    #[test]
    fn the_largest_claim_has_an_event_within_its_bound() {
        let claim = largest_claim();
        let size = |claim: &StoredClaim| {
            let event = current_event(claim);
            let headers: usize = event.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            event.key.len() + headers + event.body.len()
        };
        let (all, none) = (size(&claim), size(&StoredClaim { lines: Vec::new(), ..claim }));
        assert!(none <= most_event_bytes(0), "{none}");
        assert!(all <= most_event_bytes(MOST_LINES), "{all}");
        assert!(all - none <= most_event_bytes(MOST_LINES) - most_event_bytes(0), "{all} and {none}");
    }
}
