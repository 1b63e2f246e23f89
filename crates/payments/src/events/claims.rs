//! Consumes the events of claim_process: a batch's sagas are begun or moved on in one transaction. From there the database
//! drives them, so a slow gateway never holds Kafka back.

use crate::domain::ledger::MOST_CENTS;
use crate::domain::saga::ClaimUpdate;
use crate::executor::{ClaimEventRead, Executor, Received};
use crate::gateway::Dispatcher;
use claim_events::{ClaimBody, ClaimEvent, Envelope, Event, KnownOutcome};
use dual_db::Result;
use event_bus::{DeadLetter, Handler, IncomingMessage};
use sha2::{Digest, Sha256};

/// The consumer of claim_process's topic.
#[derive(Debug)]
pub struct Claims {
    executor: Executor,
    dispatcher: Dispatcher,
}

impl Claims {
    /// Applies events with this executor and makes calls with this dispatcher.
    pub fn new(executor: Executor, dispatcher: Dispatcher) -> Self {
        Self { executor, dispatcher }
    }
}

impl Handler for Claims {
    fn has_room(&self) -> bool {
        self.dispatcher.room() > 0
    }

    fn handle(&mut self, batch: &[IncomingMessage]) -> Result<()> {
        let mut events = Vec::new();
        let mut unreadable = Vec::new();
        for message in batch {
            match read(message) {
                Ok(event) => events.push(event),
                Err(reason) => unreadable.push(DeadLetter { message: message.clone(), reason }),
            }
        }
        let calls = self.executor.apply_events(&events, &unreadable)?;
        self.dispatcher.dispatch(calls);
        Ok(())
    }
}

/// Reads a message.
fn read(message: &IncomingMessage) -> std::result::Result<Received, String> {
    let decoded = Envelope::refuse_repeats(message.header_names())
        .and_then(|()| ClaimEvent::decode(message.key.as_deref(), |name| message.header(name), &message.body));
    let (envelope, event) = decoded.map_err(|error| error.to_string())?;
    let (claim, expected_version) = match event {
        ClaimEvent::Submitted(claim) => (claim, 1),
        ClaimEvent::VoidRequested(claim) => (claim, 2),
        ClaimEvent::OutcomeRecorded(recorded) => {
            believable(recorded.known_outcome)?;
            return Ok(Received::Recorded(recorded));
        }
    };
    if let Some(known) = claim.known_outcome {
        believable(known)?;
    }
    if !(-MOST_CENTS..=MOST_CENTS).contains(&claim.net_fee_cents) {
        return Err(format!("net_fee_cents must be from -{MOST_CENTS} to {MOST_CENTS}"));
    }
    if envelope.version != expected_version {
        return Err(format!("{} must have version {expected_version} of its claim", envelope.event_type));
    }
    let submitted_at: jiff::Timestamp =
        claim.submitted_at.parse().map_err(|_| "submitted_at must be an RFC 3339 time".to_owned())?;
    let update = ClaimUpdate {
        claim_id: claim.claim_id.clone(),
        plan_group: claim.plan_group.clone(),
        provider_npi: claim.provider_npi.clone(),
        amount_cents: claim.net_fee_cents,
        submitted_at_us: submitted_at.as_microsecond(),
        version: envelope.version,
        resync_epoch: claim.resync_epoch,
        known: claim.known_outcome,
        too_late: false,
    };
    Ok(Received::Claim(Box::new(ClaimEventRead {
        update,
        content_hash: content_hash(&claim),
        event_id: envelope.id,
        correlation_id: envelope.correlation_id,
        traceparent: envelope.traceparent,
        message: message.clone(),
    })))
}

fn believable(known: KnownOutcome) -> std::result::Result<(), String> {
    if (1..=Envelope::HIGHEST_VERSION).contains(&known.version) {
        return Ok(());
    }
    Err(format!("the version of known_outcome must be from 1 to {}", Envelope::HIGHEST_VERSION))
}

/// Hash of the claim in an event: the same in its submission, its void and every repeat.
fn content_hash(claim: &ClaimBody) -> String {
    let content = ClaimBody { known_outcome: None, resync_epoch: 0, ..claim.clone() };
    let json = serde_json::to_vec(&content).expect("a claim body is plain data");
    let mut hash = format!("{:x}", Sha256::digest(json));
    hash.truncate(32);
    hash
}
