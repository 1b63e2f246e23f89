//! Voiding a claim, at any time. What was paid is paid back.

use crate::db::claims::{self, ClaimRow, StoredClaim};
use crate::domain::transition::{self, Status, Void};
use crate::events::outgoing;
use claim_events::ClaimId;
use dual_db::{Connection, Result};
use event_bus::Relay;
use std::sync::Arc;

/// Voids claims. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Voider {
    relay: Arc<Relay>,
    due_after_us: i64,
}

/// What became of a request to void a claim.
#[derive(Debug)]
pub enum Voided {
    /// There is no claim with this id.
    NoSuchClaim,
    /// The claim is unwound for another cause: nothing is left to void.
    AlreadyUnwound,
    /// The claim is being voided, or was before.
    Accepted(Box<StoredClaim>),
}

impl Voider {
    /// Voids claims through `relay`. The watchdog re-requests an outcome that has not come after `due_after_us`.
    pub fn new(relay: Arc<Relay>, due_after_us: i64) -> Self {
        Self { relay, due_after_us }
    }

    /// Voids a claim and publishes that. Blocks. The reason may say anything of a patient: it is stored, and never
    /// logged.
    ///
    /// # Errors
    /// The database's. A lost COMMIT may have happened; the same call again does no harm.
    pub fn void(&self, claim_id: &ClaimId, reason: &str) -> Result<Voided> {
        let (voided, is_news) = self.relay.commit(|connection, publications| {
            let Some(mut row) = claims::find_for_update(connection, &[claim_id.as_str()])?.pop() else {
                return Ok((Voided::NoSuchClaim, false));
            };
            let is_news = match transition::void(row.state()) {
                Void::Refused => return Ok((Voided::AlreadyUnwound, false)),
                Void::Already => false,
                Void::Accepted(status) => {
                    self.write(connection, &mut row, status, reason, publications.now_us())?;
                    true
                }
            };
            let Some(claim) = claims::with_details(connection, vec![row])?.pop() else {
                return Ok((Voided::NoSuchClaim, false));
            };
            if is_news {
                publications.publish([outgoing::current_event(&claim)]);
            }
            Ok((Voided::Accepted(Box::new(claim)), is_news))
        })?;
        if is_news {
            tracing::info!(claim_id = claim_id.as_str(), "a claim was voided");
            metrics::counter!("claims_voided_total").increment(1);
        }
        Ok(voided)
    }

    fn write(
        &self,
        connection: &mut Connection,
        row: &mut ClaimRow,
        status: Status,
        reason: &str,
        now_us: i64,
    ) -> Result<()> {
        row.status = status;
        row.version = 2;
        row.voided_at_us = Some(now_us);
        row.void_reason = Some(reason.to_owned());
        // What payments needs a person for stays; the void's own outcome is not overdue yet.
        row.attention.outcome_overdue = false;
        row.needs_attention = row.attention.is_needed();
        claims::record_void(connection, row, now_us, now_us + self.due_after_us)
    }
}
