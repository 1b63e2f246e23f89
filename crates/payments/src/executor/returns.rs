//! Late returns: what the gateway reports is kept in the transaction that also applies it, if its payment is known by then;
//! otherwise it waits for the payment.

use super::{Executor, Now, Outbound, held};
use crate::db::ledger;
use crate::db::returns::{self, GatewayReturn};
use crate::db::sagas::StoredSaga;
use crate::domain::ledger::Kind;
use crate::domain::saga::{self, Disbursement, Input, PlannedCall, Saga, Trust};
use dual_db::{Connection, Result};
use std::collections::HashMap;

/// What became of a return that was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOutcome {
    /// It is booked, or was, under another id.
    Applied,
    /// Its payment is not known yet: it is kept until it is.
    Kept,
    /// It was reported before, and nothing changed.
    Repeated,
}

impl Executor {
    /// Keeps a return of `amount_cents` that the gateway reported under `event_id`, and applies it if its payment is known.
    ///
    /// # Errors
    /// The database's; nothing was kept then.
    pub fn apply_return(
        &self,
        event_id: &str,
        claim_id: &str,
        amount_cents: i64,
    ) -> Result<(ReturnOutcome, Vec<PlannedCall>)> {
        let mut became = ReturnOutcome::Repeated;
        let calls = self.commit(|connection, now, out| {
            let reported = GatewayReturn {
                event_id: event_id.to_owned(),
                claim_id: claim_id.to_owned(),
                amount_cents,
                received_at_us: now.us,
            };
            let mut known = held(connection, [claim_id].into_iter(), now)?;
            became = ReturnOutcome::Repeated;
            if returns::keep(connection, &reported)? {
                let applied = self.apply_waiting_returns(connection, &mut known, now, out)?;
                became = if applied > 0 { ReturnOutcome::Applied } else { ReturnOutcome::Kept };
            } else if !returns::is_kept(connection, &reported)? {
                out.alarm(claim_id, "the gateway reports another return under an id that it used before");
            }
            Ok(())
        })?;
        Ok((became, calls))
    }

    /// Applies what waited for these sagas, and returns how many returns that were. One that cannot be of its payment goes on
    /// waiting, with an alarm: the gateway's book has moved, and it is not known by what. One that repeats another, under
    /// another id, changes nothing.
    pub(super) fn apply_waiting_returns(
        &self,
        connection: &mut Connection,
        known: &mut HashMap<String, StoredSaga>,
        now: Now,
        out: &mut Outbound,
    ) -> Result<usize> {
        let ids: Vec<&str> =
            known.values().filter(|stored| may_be_returned(&stored.saga)).map(|s| s.saga.claim_id.as_str()).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let mut applied = 0;
        for reported in returns::waiting(connection, &ids)? {
            let Some(stored) = known.get_mut(&reported.claim_id) else { continue };
            let returned_cents = match stored.saga.disbursement {
                Disbursement::Returned => ledger::amount_cents(connection, &reported.claim_id, Kind::Return)?,
                _ => None,
            };
            if let Some(what) = stored.saga.cannot_have_returned(reported.amount_cents, returned_cents) {
                out.alarm(&reported.claim_id, what);
                continue;
            }
            let returned = Input::Returned { amount_cents: reported.amount_cents };
            let result = saga::advance(stored.saga.clone(), returned);
            self.apply_effects(connection, stored, result, now, out)?;
            returns::note_applied(connection, &reported.event_id, now.us)?;
            applied += 1;
        }
        Ok(applied)
    }
}

/// Whether a return may be of this saga's payment: it was requested at least, or never will be. An unverified saga learns of
/// the return by its look-up first.
fn may_be_returned(saga: &Saga) -> bool {
    saga.trust == Trust::Sure && (saga.disbursement != Disbursement::None || saga.is_at_rest())
}
