//! One write of a saga with everything it brings: bookings, budgets, announcements, and the call to be made after it.

use super::report::Report;
use super::{Executor, Now, Outbound, PlannedCall};
use crate::db::sagas::StoredSaga;
use crate::db::{budgets, ledger, sagas};
use crate::domain::ledger::{Account, Kind, Transfer};
use crate::domain::saga::{self, Effect, Input, Saga};
use crate::events::outgoing;
use dual_db::{Connection, Result};
use std::time::Duration;
use worker_threads::Backoff;

impl Executor {
    /// One write of a saga with everything it brings. The saga's row comes before its bookings: of two instances that
    /// hear the same event at once, the slower one finds the row taken and runs its transaction again.
    pub(super) fn apply_effects(
        &self,
        connection: &mut Connection,
        stored: &mut StoredSaga,
        (mut saga, mut effects): (Saga, Vec<Effect>),
        now: Now,
        out: &mut Outbound,
    ) -> Result<()> {
        let only_says_again = stored.revision > 0
            && saga == stored.saga
            && effects.iter().all(|effect| matches!(effect, Effect::Announce(_)))
            && !(stored.next_attempt_at_us.is_some() && saga.is_at_rest());
        let said_before = stored.saga.outcome;
        let waited_for = stored.saga.waiting();
        let mut bookings = Vec::new();
        let mut announced = Vec::new();
        let mut call = None;
        let mut retry_at_us = None;
        let mut stuck = None;
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Reserve(transfer) => {
                        let covered = self.covers(connection, &saga.plan_group, transfer.amount_cents)?;
                        if covered {
                            bookings.push(transfer);
                        }
                        let (next, more) = saga::advance(saga, Input::Reserved { covered });
                        saga = next;
                        effects.extend(more);
                    }
                    Effect::ReserveAnyway(transfer) => {
                        self.overdraw(connection, &saga, transfer.amount_cents, out)?;
                        bookings.push(transfer);
                    }
                    Effect::Book(transfer) => bookings.push(transfer),
                    Effect::Announce(event) => announced.push(event),
                    Effect::Call(made) => call = Some(made),
                    Effect::RetryLater { attempts, retry_after_ms } => {
                        stored.stuck_reason = self.stuck_reason(&saga, attempts);
                        retry_at_us = Some(now.us + self.pause_us(&saga.claim_id, attempts, retry_after_ms));
                    }
                    Effect::Stuck(reason) => stuck = Some(reason),
                    Effect::Alarm(what) => out.alarm(&saga.claim_id, what),
                }
            }
        }
        stored.saga = saga;
        let is_republish = stored.revision > 0 && stored.saga.outcome == said_before;
        if !only_says_again {
            // Every repeat of an outcome tells the same time: that at which it came to be.
            if !(is_republish && stored.saga.outcome_stands()) {
                stored.updated_at_us = now.us;
            }
            if call.is_some() {
                if stored.saga.waiting() != waited_for {
                    // What it was stuck at, it is past.
                    stored.stuck_reason = None;
                }
                stored.next_attempt_at_us =
                    Some(now.us + dual_db::micros(Duration::from_millis(self.settings.saga.lease_ms)));
                stored.worker = Some(self.worker.clone());
                stored.call_revision = stored.revision + 1;
            } else if let Some(reason) = stuck {
                stored.next_attempt_at_us =
                    Some(now.us + dual_db::micros(Duration::from_millis(self.settings.saga.max_retry_pause_ms)));
                stored.stuck_reason = Some(reason.to_owned());
            } else if retry_at_us.is_some() {
                stored.next_attempt_at_us = retry_at_us;
            } else if stored.saga.is_at_rest() {
                stored.next_attempt_at_us = None;
                stored.worker = None;
                stored.stuck_reason = None;
            }
            sagas::write(connection, stored)?;
        }
        for transfer in &bookings {
            Self::book(connection, &stored.saga.plan_group, transfer, now.us, out)?;
        }
        for event in announced {
            let state = stored.saga.state().name();
            out.reports.push(Report::Outcome {
                claim_id: stored.saga.claim_id.clone(),
                state,
                said_again: is_republish,
            });
            let messages = if is_republish { &mut out.said_again } else { &mut out.messages };
            messages.extend(outgoing::outcome(stored, &event));
        }
        if let Some(call) = call {
            let claim_id = stored.saga.claim_id.clone();
            let (revision, tries) = (stored.revision, stored.saga.attempts.all());
            out.calls.insert(claim_id.clone(), PlannedCall { claim_id, revision, call, tries });
        }
        Ok(())
    }

    /// Takes the amount from the plan's budget, if it has one that covers it.
    fn covers(&self, connection: &mut Connection, plan_group: &str, amount_cents: i64) -> Result<bool> {
        match self.settings.budget_limit_cents(plan_group) {
            Some(limit_cents) => budgets::take(connection, plan_group, amount_cents, limit_cents),
            None => budgets::count(connection, plan_group, amount_cents).map(|()| true),
        }
    }

    /// Takes the amount from the plan's budget, covered or not: it was paid, or may have been, before the facts were lost.
    fn overdraw(&self, connection: &mut Connection, saga: &Saga, amount_cents: i64, out: &mut Outbound) -> Result<()> {
        if !self.covers(connection, &saga.plan_group, amount_cents)? {
            out.alarm(
                &saga.claim_id,
                "a budget is overdrawn by a payment that was made, or may have been, before the database was restored",
            );
            budgets::count(connection, &saga.plan_group, amount_cents)?;
        }
        Ok(())
    }

    fn book(
        connection: &mut Connection,
        plan_group: &str,
        transfer: &Transfer,
        now_us: i64,
        out: &mut Outbound,
    ) -> Result<()> {
        ledger::book(connection, transfer, now_us)?;
        if transfer.kind == Kind::Return {
            out.reports.push(Report::Returned { claim_id: transfer.claim_id.clone() });
        }
        let frees_budget = transfer.kind == Kind::Release
            || (transfer.kind == Kind::Reverse && matches!(transfer.debit, Account::ProviderPayable(_)));
        if frees_budget {
            budgets::count(connection, plan_group, -transfer.amount_cents)?;
        }
        Ok(())
    }

    fn stuck_reason(&self, saga: &Saga, attempts: u32) -> Option<String> {
        if attempts < self.settings.saga.stuck_after_attempts {
            return None;
        }
        Some(if saga.waits_for_record() {
            format!(
                "claim_process has not recorded the outcome, which was said {attempts} times; it is still being said"
            )
        } else {
            format!("the gateway gave no definite answer to {attempts} requests; it is still being asked")
        })
    }

    /// The pause before the next attempt, with jitter; never shorter than the gateway requested.
    fn pause_us(&self, claim_id: &str, attempts: u32, retry_after_ms: Option<u64>) -> i64 {
        let settings = &self.settings.saga;
        let pause = Backoff::from_millis(settings.retry_pause_ms, settings.max_retry_pause_ms)
            .pause_with_jitter(attempts, claim_id);
        dual_db::micros(pause.max(Duration::from_millis(retry_after_ms.unwrap_or(0))))
    }
}
