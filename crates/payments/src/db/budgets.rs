//! What is reserved or spent of the budgets of plans that have one. The database compares and raises in one statement,
//! so concurrent reserves cannot overdraw.
//!
//! A plan is counted from the first time on that it has a budget, with what the ledger knows of it from before; and then
//! always, whether or not it still has one, so that it can have one again.

use super::schema::plan_budgets;
use crate::domain::ledger::Account;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use dual_db::{Connection, Result, on_each_backend};

/// Takes `amount_cents` from a plan's budget if `limit_cents` covers it with what is used already.
pub fn take(connection: &mut Connection, plan_group: &str, amount_cents: i64, limit_cents: i64) -> Result<bool> {
    let first = on_each_backend!(connection, |c| {
        diesel::insert_into(plan_budgets::table)
            .values((plan_budgets::plan_group.eq(plan_group), plan_budgets::used_cents.eq(0_i64)))
            .on_conflict_do_nothing()
            .execute(c)
    })?;
    if first == 1 {
        let used_cents = used_by_ledger(connection, plan_group)?;
        count(connection, plan_group, used_cents)?;
    }
    let taken = on_each_backend!(connection, |c| {
        diesel::update(plan_budgets::table.find(plan_group))
            .filter(plan_budgets::used_cents.le(limit_cents - amount_cents))
            .set(plan_budgets::used_cents.eq(plan_budgets::used_cents + amount_cents))
            .execute(c)
    })?;
    Ok(taken == 1)
}

/// Counts `amount_cents` as used, whatever the limit is; below zero, as used no more. Nothing where the plan never had a
/// budget.
pub fn count(connection: &mut Connection, plan_group: &str, amount_cents: i64) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(plan_budgets::table.find(plan_group))
            .set(plan_budgets::used_cents.eq(plan_budgets::used_cents + amount_cents))
            .execute(c)
    })?;
    Ok(())
}

#[derive(QueryableByName)]
struct Used {
    #[diesel(sql_type = BigInt)]
    cents: i64,
}

fn used_by_ledger(connection: &mut Connection, plan_group: &str) -> Result<i64> {
    let sql = "SELECT CAST(COALESCE(SUM(CASE kind WHEN 'reserve' THEN amount_cents ELSE -amount_cents END), 0) AS BIGINT) AS cents
               FROM ledger_transfers
               WHERE (kind IN ('reserve', 'release') AND debit_account = $1) OR (kind = 'reverse' AND credit_account = $1)";
    let account = Account::PlanBudget(plan_group.to_owned()).to_string();
    let used: Used = on_each_backend!(connection, |c| diesel::sql_query(sql).bind::<Text, _>(account).get_result(c))?;
    Ok(used.cents)
}
