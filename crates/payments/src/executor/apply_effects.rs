//! One write of a saga with everything it brings: bookings, budgets, the outcome to be published, and the call that follows.
//! It is written with those of the other sagas of its transaction.

use super::report::Report;
use super::schedule::schedule;
use super::{Executor, Now, Outbound};
use crate::db::attention::SagaAttention;
use crate::db::sagas::StoredSaga;
use crate::domain::ledger::{Account, Kind, Transfer};
use crate::domain::saga::{self, Effect, PlannedCall, Saga, WritePlan};
use crate::messages;
use dual_db::{Connection, Result};

impl Executor {
    /// Plans the write that follows from an input, schedules what comes after it, and writes it.
    pub(super) fn apply_effects(
        &self,
        connection: &mut Connection,
        stored: &mut StoredSaga,
        result: (Saga, Vec<Effect>),
        now: Now,
        out: &mut Outbound,
    ) -> Result<()> {
        let plan_group = result.0.plan_group.clone();
        let plan =
            saga::plan(result, |transfer| self.covers(connection, &plan_group, transfer.amount_cents, now, out))?;
        self.overdraw(connection, &plan, now, out)?;
        self.write(stored, plan, now, out);
        Ok(())
    }

    /// Gathers what is planned.
    fn write(&self, stored: &mut StoredSaga, plan: WritePlan, now: Now, out: &mut Outbound) {
        let is_new = stored.revision == 0;
        let is_republish = !is_new && stored.saga.outcome == plan.saga.outcome;
        let is_due = stored.next_attempt_at_us.is_some();
        if plan.changes_row((!is_new).then_some(&stored.saga), is_due) {
            // Every repeat of an outcome has the same time: that at which it came to be.
            if !(is_republish && plan.saga.outcome_stands()) {
                stored.updated_at_us = now.us;
            }
            schedule(stored, &plan, &self.settings.saga, &self.worker, now.us);
            stored.saga = plan.saga;
            let attention_changes = stored.stuck_reason.is_some() != stored.attention_raised;
            if attention_changes {
                stored.attention_raised = stored.stuck_reason.is_some();
                stored.attention_revision = stored.revision + 1;
            }
            out.unwritten.saga(stored);
            if attention_changes {
                out.attention(SagaAttention { at_us: now.us, ..stored.attention() }, stored);
            }
        }
        for transfer in plan.bookings {
            book(&stored.saga.plan_group, transfer, out);
        }
        let claim_id = &stored.saga.claim_id;
        for what in plan.alarms {
            out.alarm(claim_id, what);
        }
        for event in &plan.outcomes {
            let state = stored.saga.state();
            out.reports.push(Report::Outcome { claim_id: claim_id.clone(), state, republished: is_republish });
            let messages = if is_republish { &mut out.republished } else { &mut out.messages };
            messages.extend(messages::outcome(stored, event));
        }
        if let Some(call) = plan.call {
            let (revision, tries) = (stored.revision, stored.saga.attempts.all());
            out.calls.insert(claim_id.clone(), PlannedCall { claim_id: claim_id.clone(), revision, call, tries });
        }
    }

    /// Takes the amount from the plan's budget, if it has one that covers it.
    fn covers(
        &self,
        connection: &mut Connection,
        plan_group: &str,
        amount_cents: i64,
        now: Now,
        out: &mut Outbound,
    ) -> Result<bool> {
        match self.settings.budget_limit_cents(plan_group) {
            Some(limit_cents) => out.unwritten.take(connection, plan_group, amount_cents, limit_cents, now.us),
            None => {
                out.unwritten.used(plan_group, amount_cents);
                Ok(true)
            }
        }
    }

    /// Takes from the plan's budget what was paid, or may have been, before the facts were lost, covered or not.
    fn overdraw(&self, connection: &mut Connection, plan: &WritePlan, now: Now, out: &mut Outbound) -> Result<()> {
        let WritePlan { saga, overdraft_cents, .. } = plan;
        if *overdraft_cents > 0 && !self.covers(connection, &saga.plan_group, *overdraft_cents, now, out)? {
            out.alarm(
                &saga.claim_id,
                "a budget is overdrawn by a payment that was made, or may have been, before the database was restored",
            );
            out.unwritten.used(&saga.plan_group, *overdraft_cents);
        }
        Ok(())
    }
}

fn book(plan_group: &str, transfer: Transfer, out: &mut Outbound) {
    if transfer.kind == Kind::Return {
        out.reports.push(Report::Returned { claim_id: transfer.claim_id.clone() });
    }
    let frees_budget = transfer.kind == Kind::Release
        || (transfer.kind == Kind::Reverse && matches!(transfer.debit, Account::ProviderPayable(_)));
    if frees_budget {
        out.unwritten.used(plan_group, -transfer.amount_cents);
    }
    out.unwritten.transfer(transfer);
}
