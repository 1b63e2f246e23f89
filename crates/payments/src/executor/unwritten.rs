//! What a transaction is to write of sagas, transfers and budgets: it is gathered, and written for all claims at once.

use crate::db::sagas::{SagaWrite, StoredSaga};
use crate::db::{budgets, ledger, sagas};
use crate::domain::ledger::Transfer;
use dual_db::{Connection, Result};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What is not written yet. By claim and by plan, so that transactions that wait for each other's rows do so in one order.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    sagas: BTreeMap<String, SagaWrite>,
    transfers: Vec<Transfer>,
    budgets: BTreeMap<String, Budget>,
}

/// What happens to the budget of a plan.
#[derive(Debug, Default)]
struct Budget {
    /// What is used of it by all that is written, where its row is held.
    held_cents: Option<i64>,
    /// What is to be counted besides.
    change_cents: i64,
}

impl Unwritten {
    /// The saga is to be written, under the next revision.
    pub(super) fn saga(&mut self, stored: &mut StoredSaga) {
        let read_revision = stored.revision;
        stored.revision += 1;
        match self.sagas.entry(stored.saga.claim_id.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(SagaWrite { stored: stored.clone(), read_revision })),
            Entry::Occupied(mut entry) => entry.get_mut().stored = stored.clone(),
        }
    }

    /// The transfer is to be booked.
    pub(super) fn transfer(&mut self, transfer: Transfer) {
        self.transfers.push(transfer);
    }

    /// So much is used of a plan's budget, whether or not it covers it; below zero, used no more.
    pub(super) fn used(&mut self, plan_group: &str, cents: i64) {
        match self.budgets.get_mut(plan_group) {
            Some(budget) => budget.change_cents += cents,
            None => {
                self.budgets.insert(plan_group.to_owned(), Budget { held_cents: None, change_cents: cents });
            }
        }
    }

    /// Takes so much from a plan's budget if `limit_cents` covers it with what is used already.
    pub(super) fn take(
        &mut self,
        connection: &mut Connection,
        plan_group: &str,
        cents: i64,
        limit_cents: i64,
        now_us: i64,
    ) -> Result<bool> {
        if self.budgets.get(plan_group).is_none_or(|budget| budget.held_cents.is_none()) {
            self.hold(connection, plan_group, now_us)?;
        }
        let budget = self.budgets.entry(plan_group.to_owned()).or_default();
        let used_cents = budget.held_cents.unwrap_or(0) + budget.change_cents;
        let covers = used_cents <= limit_cents - cents;
        if covers {
            budget.change_cents += cents;
        }
        Ok(covers)
    }

    /// Holds a plan's budget until the transaction ends. One that was not counted until now is counted with what the ledger
    /// knows.
    fn hold(&mut self, connection: &mut Connection, plan_group: &str, now_us: i64) -> Result<()> {
        let is_new = budgets::begin(connection, plan_group)?;
        if is_new {
            // What was to be counted is in the ledger, once that is written.
            self.budgets.remove(plan_group);
            self.write(connection, now_us)?;
            let used_cents = budgets::used_by_ledger(connection, plan_group)?;
            budgets::count(connection, &[(plan_group, used_cents)])?;
        }
        let held_cents = Some(budgets::hold(connection, plan_group)?);
        self.budgets.entry(plan_group.to_owned()).or_default().held_cents = held_cents;
        Ok(())
    }

    /// Writes all of it. The sagas come before their bookings: of two instances that receive the same event at once, the slower
    /// one finds the row taken and runs its transaction again.
    ///
    /// # Errors
    /// The database's; [`Conflict`](dual_db::Error::Conflict) where another instance wrote one of the sagas meanwhile.
    pub(super) fn write(&mut self, connection: &mut Connection, now_us: i64) -> Result<()> {
        let writes: Vec<SagaWrite> = std::mem::take(&mut self.sagas).into_values().collect();
        sagas::write_all(connection, &writes)?;
        ledger::book_all(connection, &std::mem::take(&mut self.transfers), now_us)?;
        let changed = self.budgets.iter().filter(|(_, budget)| budget.change_cents != 0);
        let changes: Vec<(&str, i64)> = changed.map(|(plan, budget)| (plan.as_str(), budget.change_cents)).collect();
        budgets::count(connection, &changes)?;
        self.budgets.clear();
        Ok(())
    }
}
