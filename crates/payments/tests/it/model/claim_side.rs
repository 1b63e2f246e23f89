//! What claim_process would do: it re-requests until it is answered, applies what is newer, and records unsolicited outcomes.

use claim_events::{KnownOutcome, OutcomeKind, OutcomeRecorded, PaymentEvent};
use payments::executor::{ClaimEventRead, Received};

/// A claim as claim_process has it.
#[derive(Debug, Clone)]
pub struct ClaimSide {
    pub claim_id: String,
    pub plan_group: String,
    pub amount_cents: i64,
    pub submitted_at_us: i64,
    /// 1 submitted, 2 void requested.
    pub version: i64,
    pub resync_epoch: i64,
    pub known: Option<KnownOutcome>,
    pub is_due: bool,
}

impl ClaimSide {
    /// Its current event.
    pub fn event(&self) -> Received {
        let mut event = crate::harness::event(&self.claim_id, self.amount_cents, self.version);
        event.update.plan_group.clone_from(&self.plan_group);
        event.update.submitted_at_us = self.submitted_at_us;
        event.update.resync_epoch = self.resync_epoch;
        event.update.known = self.known;
        Received::Claim(Box::new(ClaimEventRead { content_hash: self.claim_id.clone(), ..event }))
    }

    /// The same, before it was withdrawn.
    pub fn submission(&self) -> Received {
        Self { version: 1, ..self.clone() }.event()
    }

    /// An outcome arrives; what is said back, if anything.
    pub fn receive(&mut self, event: &PaymentEvent, version: i64) -> Option<Received> {
        if event.resync_epoch() < self.resync_epoch {
            return None;
        }
        let kind = event.kind();
        match self.known {
            Some(known) if version < known.version => {}
            Some(known) if version == known.version => {
                assert_eq!(known.kind, kind, "{}: another end under the same version", self.claim_id);
            }
            Some(known) if known.kind == OutcomeKind::Unwound => {
                assert_eq!(kind, OutcomeKind::Unwound, "{}: unwound is absorbing", self.claim_id);
                self.known = Some(KnownOutcome { kind, version });
            }
            _ => self.known = Some(KnownOutcome { kind, version }),
        }
        if event.claim_version() >= self.version || self.known.is_some_and(|known| known.kind == OutcomeKind::Unwound) {
            self.is_due = false;
        }
        let unsolicited = match event {
            PaymentEvent::Settled(settled) => settled.unsolicited,
            PaymentEvent::Unwound(unwound) => unwound.unsolicited,
        };
        let known_outcome = self.known.filter(|_| unsolicited)?;
        Some(Received::Recorded(OutcomeRecorded {
            claim_id: self.claim_id.clone(),
            known_outcome,
            resync_epoch: self.resync_epoch,
        }))
    }
}
