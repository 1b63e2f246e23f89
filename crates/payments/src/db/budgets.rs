//! What is reserved or spent of the budgets of plans that have one. The database compares and raises in one statement,
//! so concurrent reserves cannot overdraw.

use super::schema::plan_budgets;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// Takes `amount_cents` from a plan's budget if `limit_cents` covers it with what is used already.
pub fn take(connection: &mut Connection, plan_group: &str, amount_cents: i64, limit_cents: i64) -> Result<bool> {
    on_each_backend!(connection, |c| {
        diesel::insert_into(plan_budgets::table)
            .values((plan_budgets::plan_group.eq(plan_group), plan_budgets::used_cents.eq(0_i64)))
            .on_conflict_do_nothing()
            .execute(c)
    })?;
    let taken = on_each_backend!(connection, |c| {
        diesel::update(plan_budgets::table.find(plan_group))
            .filter(plan_budgets::used_cents.le(limit_cents - amount_cents))
            .set(plan_budgets::used_cents.eq(plan_budgets::used_cents + amount_cents))
            .execute(c)
    })?;
    Ok(taken == 1)
}

/// Takes `amount_cents` from a plan's budget whatever its limit says; [`take`] was tried before.
pub fn overdraw(connection: &mut Connection, plan_group: &str, amount_cents: i64) -> Result<()> {
    give_back(connection, plan_group, -amount_cents)
}

/// Gives `amount_cents` back, where the plan has a budget.
pub fn give_back(connection: &mut Connection, plan_group: &str, amount_cents: i64) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(plan_budgets::table.find(plan_group))
            .set(plan_budgets::used_cents.eq(plan_budgets::used_cents - amount_cents))
            .execute(c)
    })?;
    Ok(())
}
