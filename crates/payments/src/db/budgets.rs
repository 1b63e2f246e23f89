//! What is reserved or spent of the budgets of plans that have one. The row of a plan is locked before what is left of it is
//! looked at, so concurrent reserves cannot overdraw.
//!
//! A plan is counted from the first time on that it has a budget, with what the ledger knows of it from before; and then
//! always, whether or not it still has one, so that it can have one again.

use super::schema::plan_budgets;
use super::statement::{self, write_rows};
use crate::domain::ledger::Account;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use dual_db::{Connection, Result, load_for_update, on_each_backend};

/// Begins to count a plan, at zero; `false` where it is counted already.
pub fn begin(connection: &mut Connection, plan_group: &str) -> Result<bool> {
    let begun = on_each_backend!(connection, |c| {
        diesel::insert_into(plan_budgets::table)
            .values((plan_budgets::plan_group.eq(plan_group), plan_budgets::used_cents.eq(0_i64)))
            .on_conflict_do_nothing()
            .execute(c)
    })?;
    Ok(begun == 1)
}

/// What is used of the budget of a plan that is counted, held until the transaction ends.
pub fn hold(connection: &mut Connection, plan_group: &str) -> Result<i64> {
    let used: Vec<i64> = load_for_update!(
        connection,
        plan_budgets::table.filter(plan_budgets::plan_group.eq(plan_group)).select(plan_budgets::used_cents)
    )?;
    Ok(used.into_iter().sum())
}

struct CountUsed;

impl statement::Text for CountUsed {
    const POSTGRES: [&'static str; 2] = [
        "UPDATE plan_budgets SET used_cents = used_cents + n.cents FROM UNNEST(",
        ") AS n (plan_group, cents) WHERE plan_budgets.plan_group = n.plan_group",
    ];
    const SQLITE: [&'static str; 2] = [
        "UPDATE plan_budgets SET used_cents = used_cents + n.column2 FROM (VALUES (",
        ")) AS n WHERE plan_budgets.plan_group = n.column1",
    ];
}

/// Counts so many cents as used of each of these plans' budgets, whatever their limits are; below zero, as used no more.
/// Nothing where a plan never had a budget.
pub fn count(connection: &mut Connection, used: &[(&str, i64)]) -> Result<()> {
    if used.is_empty() {
        return Ok(());
    }
    write_rows!(connection, CountUsed, used, |plan| { plan.0 => Text, plan.1 => BigInt })?;
    Ok(())
}

#[derive(QueryableByName)]
struct Used {
    #[diesel(sql_type = BigInt)]
    cents: i64,
}

/// What the ledger has of a plan as reserved or spent, in cents.
pub fn used_by_ledger(connection: &mut Connection, plan_group: &str) -> Result<i64> {
    let sql = "SELECT CAST(COALESCE(SUM(CASE kind WHEN 'reserve' THEN amount_cents ELSE -amount_cents END), 0) AS BIGINT) AS cents
               FROM ledger_transfers
               WHERE (kind IN ('reserve', 'release') AND debit_account = $1) OR (kind = 'reverse' AND credit_account = $1)";
    let account = Account::PlanBudget(plan_group.to_owned()).to_string();
    let used: Used = on_each_backend!(connection, |c| diesel::sql_query(sql).bind::<Text, _>(account).get_result(c))?;
    Ok(used.cents)
}
