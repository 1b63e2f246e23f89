//! What the gateway reports of money that came back, or failed to: it is kept in the transaction that also applies it, if its
//! payment is known by then; otherwise it waits for the payment, or for an operator.

use super::operator::Actor;
use super::{Executor, Now, Outbound, held};
use crate::db::operator_actions::{self, OperatorActionRow};
use crate::db::returns::{self, GatewayReturn};
use crate::db::sagas::StoredSaga;
use crate::db::{ledger, sagas};
use crate::domain::saga::{
    self, ActionKind, BookedReturn, Disbursement, FailurePlacement, Input, Placement, PlannedCall, Saga, Trust,
};
use crate::gateway::Report as GatewayReport;
use dual_db::{Connection, Result};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOutcome {
    /// It is booked, or was, under another id.
    Applied,
    /// It is kept until its payment is known, or an operator resolves it.
    Kept,
    /// It was reported before, and nothing changed.
    Repeated,
}

/// What became of an operator's wish to resolve a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveOutcome {
    /// It is resolved, now or before.
    Resolved(GatewayReturn, Vec<PlannedCall>),
    /// There is no such report.
    Unknown,
    /// It is applied: nothing is left to resolve.
    Applied,
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
        self.apply_report(event_id, claim_id, amount_cents, GatewayReport::PaymentReturned)
    }

    /// Keeps what the gateway reported under `event_id`, and applies it if its payment is known.
    ///
    /// # Errors
    /// The database's; nothing was kept then.
    pub fn apply_report(
        &self,
        event_id: &str,
        claim_id: &str,
        amount_cents: i64,
        report: GatewayReport,
    ) -> Result<(ReturnOutcome, Vec<PlannedCall>)> {
        let (kind, refund_key) = match report {
            GatewayReport::PaymentReturned => (returns::PAYMENT_RETURNED, None),
            GatewayReport::RefundFailed { key } => (returns::REFUND_FAILED, Some(key)),
        };
        let mut became = ReturnOutcome::Repeated;
        let calls = self.commit(|connection, now, out| {
            let reported = GatewayReturn {
                event_id: event_id.to_owned(),
                kind: kind.to_owned(),
                claim_id: claim_id.to_owned(),
                amount_cents,
                refund_key: refund_key.clone(),
                is_ambiguous: false,
                received_at_us: now.us,
                applied_at_us: None,
                resolved_at_us: None,
            };
            let mut known = held(connection, [claim_id].into_iter(), now)?;
            became = if returns::keep(connection, &reported)? {
                let applied = self.apply_waiting_returns(connection, &mut known, now, out)?;
                if applied.iter().any(|applied| applied == event_id) {
                    ReturnOutcome::Applied
                } else {
                    ReturnOutcome::Kept
                }
            } else {
                keep_unless_repeated(connection, reported, out)?
            };
            Ok(())
        })?;
        Ok((became, calls))
    }

    /// Applies what waited for these sagas, and returns the ids of those reports. One that cannot be of its payment goes on
    /// waiting, with an alarm: the gateway's book has moved, and it is not known by what. One that repeats another, under
    /// another id, changes nothing.
    pub(super) fn apply_waiting_returns(
        &self,
        connection: &mut Connection,
        known: &mut HashMap<String, StoredSaga>,
        now: Now,
        out: &mut Outbound,
    ) -> Result<Vec<String>> {
        let ids: Vec<&str> =
            known.values().filter(|stored| may_be_returned(&stored.saga)).map(|s| s.saga.claim_id.as_str()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut waiting: HashMap<String, Vec<GatewayReturn>> = HashMap::new();
        for reported in returns::waiting(connection, &ids)? {
            waiting.entry(reported.claim_id.clone()).or_default().push(reported);
        }
        let mut applied = Vec::new();
        for (claim_id, reported) in waiting {
            let Some(stored) = known.get_mut(&claim_id) else { continue };
            let (returned, failed): (Vec<_>, Vec<_>) =
                reported.into_iter().partition(|reported| reported.kind == returns::PAYMENT_RETURNED);
            // A payment may come back after its refund failed.
            applied.extend(self.apply_failed_refunds(connection, stored, failed, now, out)?);
            applied.extend(self.place_returns(connection, stored, returned, now, out)?);
        }
        for event_id in &applied {
            returns::note_applied(connection, event_id, now.us)?;
        }
        Ok(applied)
    }

    fn apply_failed_refunds(
        &self,
        connection: &mut Connection,
        stored: &mut StoredSaga,
        failed: Vec<GatewayReturn>,
        now: Now,
        out: &mut Outbound,
    ) -> Result<Vec<String>> {
        let mut applied = Vec::new();
        for GatewayReturn { event_id, amount_cents, refund_key, .. } in failed {
            out.unwritten.write(connection, now.us)?;
            let refunded_cents = ledger::amount_cents(connection, &stored.saga.refund_transfer_id())?;
            let key = refund_key.unwrap_or_default();
            match stored.saga.place_refund_failure(&key, amount_cents, refunded_cents) {
                FailurePlacement::Failed => {
                    let result = saga::advance(stored.saga.clone(), Input::RefundFailed { amount_cents });
                    self.apply_effects(connection, stored, result, now, out)?;
                }
                FailurePlacement::Known => {}
                FailurePlacement::Impossible(what) => {
                    out.alarm(&stored.saga.claim_id, what);
                    continue;
                }
            }
            applied.push(event_id);
        }
        Ok(applied)
    }

    fn place_returns(
        &self,
        connection: &mut Connection,
        stored: &mut StoredSaga,
        mut waiting: Vec<GatewayReturn>,
        now: Now,
        out: &mut Outbound,
    ) -> Result<Vec<String>> {
        let mut applied: Vec<GatewayReturn> = Vec::new();
        while !waiting.is_empty() {
            out.unwritten.write(connection, now.us)?;
            let placed_now: i64 = applied.iter().map(|placed| placed.amount_cents).sum();
            match place(connection, &stored.saga, &waiting, placed_now)? {
                Placement::Returned { reports, amount_cents } => {
                    let result = saga::advance(stored.saga.clone(), Input::Returned { amount_cents });
                    self.apply_effects(connection, stored, result, now, out)?;
                    let (placed, left) =
                        waiting.into_iter().enumerate().partition::<Vec<_>, _>(|(n, _)| reports.contains(n));
                    applied.extend(placed.into_iter().map(|(_, placed)| placed));
                    waiting = left.into_iter().map(|(_, left)| left).collect();
                }
                Placement::Waiting { impossible, .. } => {
                    for (_, what) in impossible {
                        out.alarm(&stored.saga.claim_id, what);
                    }
                    break;
                }
            }
        }
        Ok(applied.into_iter().map(|placed| placed.event_id).collect())
    }

    /// Closes a report that cannot be placed, for an operator who has seen to it. What waits beside it is placed without it.
    ///
    /// # Errors
    /// The database's; nothing was done then.
    pub fn resolve_return(&self, event_id: &str, actor: &Actor) -> Result<ResolveOutcome> {
        let mut outcome = ResolveOutcome::Unknown;
        let calls = self.commit(|connection, now, out| {
            outcome = ResolveOutcome::Unknown;
            let Some(reported) = returns::find(connection, event_id)? else { return Ok(()) };
            // The saga first, as everywhere, so that the report is not applied meanwhile.
            let mut known = held(connection, [reported.claim_id.as_str()].into_iter(), now)?;
            let is_news = returns::note_resolved(connection, event_id, now.us)?;
            let Some(reported) = returns::find(connection, event_id)? else { return Ok(()) };
            if reported.applied_at_us.is_some() {
                outcome = ResolveOutcome::Applied;
                return Ok(());
            }
            if is_news {
                operator_actions::insert(connection, &action(&reported, actor, now.us))?;
                self.apply_waiting_returns(connection, &mut known, now, out)?;
            }
            outcome = ResolveOutcome::Resolved(reported, Vec::new());
            Ok(())
        })?;
        if let ResolveOutcome::Resolved(reported, _) = outcome {
            metrics::counter!("operator_actions_total", "action" => ActionKind::ResolveReturn.as_str()).increment(1);
            tracing::warn!(
                claim_id = reported.claim_id,
                action = ActionKind::ResolveReturn.as_str(),
                client = actor.client,
                "operator action applied"
            );
            outcome = ResolveOutcome::Resolved(reported, calls);
        }
        Ok(outcome)
    }
}

fn action(reported: &GatewayReturn, actor: &Actor, now_us: i64) -> OperatorActionRow {
    OperatorActionRow {
        claim_id: reported.claim_id.clone(),
        action: ActionKind::ResolveReturn,
        answer: Some(reported.event_id.clone()),
        reason: actor.reason.clone(),
        operator: actor.operator.clone(),
        client: actor.client.clone(),
        state_before: "waiting".to_owned(),
        state_after: "resolved".to_owned(),
        at_us: now_us,
    }
}

/// What becomes of a report whose id is taken: a repeat is dropped, and another report is kept under an id of our own, because
/// one of the two may be lost money.
fn keep_unless_repeated(
    connection: &mut Connection,
    reported: GatewayReturn,
    out: &mut Outbound,
) -> Result<ReturnOutcome> {
    let kept = returns::find(connection, &reported.event_id)?;
    if kept.is_some_and(|kept| kept.reports_the_same(&reported)) {
        return Ok(ReturnOutcome::Repeated);
    }
    let GatewayReturn { event_id, kind, claim_id, amount_cents, refund_key, .. } = &reported;
    let refund_key = refund_key.as_deref().unwrap_or_default();
    let digest = format!("{:x}", Sha256::digest(format!("{kind}\n{claim_id}\n{amount_cents}\n{refund_key}")));
    let own_id = format!("{event_id}~{}", &digest[..16]);
    if !returns::keep(connection, &GatewayReturn { event_id: own_id, is_ambiguous: true, ..reported.clone() })? {
        return Ok(ReturnOutcome::Repeated);
    }
    out.alarm(claim_id, "the gateway reports something else under an id that it used before");
    Ok(ReturnOutcome::Kept)
}

/// Where the returns of one payment that wait belong; `placed_now_cents` is what this transaction has placed of them.
fn place(
    connection: &mut Connection,
    saga: &Saga,
    waiting: &[GatewayReturn],
    placed_now_cents: i64,
) -> Result<Placement> {
    let amounts: Vec<i64> = waiting.iter().map(|reported| reported.amount_cents).collect();
    let booked = match saga.disbursement {
        Disbursement::Returned => {
            let placed_before: i64 = returns::applied_cents(connection, &saga.claim_id)?.iter().sum();
            let cents = ledger::amount_cents(connection, &saga.return_transfer_id())?.unwrap_or(0);
            BookedReturn { cents, reported_cents: placed_before + placed_now_cents }
        }
        _ => BookedReturn::default(),
    };
    Ok(saga.place_returns(&amounts, booked))
}

/// How much is missing until these claims' returns are full ones, in cents, where that is known.
///
/// # Errors
/// The database's.
pub(crate) fn missing_cents(connection: &mut Connection, claim_ids: &[&str]) -> Result<HashMap<String, i64>> {
    let mut waiting: HashMap<String, Vec<GatewayReturn>> = HashMap::new();
    for reported in returns::waiting(connection, claim_ids)? {
        if reported.kind == returns::PAYMENT_RETURNED {
            waiting.entry(reported.claim_id.clone()).or_default().push(reported);
        }
    }
    let mut missing = HashMap::new();
    for (claim_id, waiting) in waiting {
        let Some(stored) = sagas::find(connection, &claim_id)? else { continue };
        if let Placement::Waiting { missing_cents: Some(cents), .. } = place(connection, &stored.saga, &waiting, 0)? {
            missing.insert(claim_id, cents);
        }
    }
    Ok(missing)
}

/// Whether a report may be of this saga's payment: it was requested at least, or never will be. An unverified saga learns of
/// the return by its look-up first.
fn may_be_returned(saga: &Saga) -> bool {
    saga.trust == Trust::Sure && (saga.disbursement != Disbursement::None || saga.is_at_rest())
}
