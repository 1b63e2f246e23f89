//! Returns of payments that the gateway reported, each kept once and applied once.

use super::schema::gateway_returns;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// A payment that came back.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = gateway_returns)]
pub struct GatewayReturn {
    /// The gateway's id of the event: the same however often it is reported.
    pub event_id: String,
    /// The claim.
    pub claim_id: String,
    /// How much came back, in cents.
    pub amount_cents: i64,
    /// When it was reported first.
    pub received_at_us: i64,
}

/// Keeps a return; `false` for one that was reported before.
pub fn keep(connection: &mut Connection, reported: &GatewayReturn) -> Result<bool> {
    let kept = on_each_backend!(connection, |c| {
        diesel::insert_into(gateway_returns::table).values(reported).on_conflict_do_nothing().execute(c)
    })?;
    Ok(kept == 1)
}

/// Whether the same return is kept under this id.
pub fn is_kept(connection: &mut Connection, reported: &GatewayReturn) -> Result<bool> {
    let same = on_each_backend!(connection, |c| {
        gateway_returns::table
            .find(&reported.event_id)
            .filter(
                gateway_returns::claim_id
                    .eq(&reported.claim_id)
                    .and(gateway_returns::amount_cents.eq(reported.amount_cents)),
            )
            .count()
            .get_result::<i64>(c)
    })?;
    Ok(same == 1)
}

/// How many wait, and since when the first of them does.
pub fn count_waiting(connection: &mut Connection) -> Result<(i64, Option<i64>)> {
    let waiting = gateway_returns::table.filter(gateway_returns::applied_at_us.is_null());
    Ok(on_each_backend!(connection, |c| {
        waiting.select((diesel::dsl::count_star(), diesel::dsl::min(gateway_returns::received_at_us))).first(c)
    })?)
}

/// Those of these claims that wait to be applied.
pub fn waiting(connection: &mut Connection, claim_ids: &[&str]) -> Result<Vec<GatewayReturn>> {
    Ok(on_each_backend!(connection, |c| {
        gateway_returns::table
            .filter(gateway_returns::claim_id.eq_any(claim_ids).and(gateway_returns::applied_at_us.is_null()))
            .order(gateway_returns::event_id)
            .select(GatewayReturn::as_select())
            .load(c)
    })?)
}

/// Up to `limit` of those that wait to be applied, whose ids come after `after`, in the order of their ids.
pub fn list_waiting(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<GatewayReturn>> {
    Ok(on_each_backend!(connection, |c| {
        gateway_returns::table
            .filter(gateway_returns::event_id.gt(after).and(gateway_returns::applied_at_us.is_null()))
            .order(gateway_returns::event_id)
            .limit(limit)
            .select(GatewayReturn::as_select())
            .load(c)
    })?)
}

/// Notes that a return was applied.
pub fn note_applied(connection: &mut Connection, event_id: &str, now_us: i64) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(gateway_returns::table.find(event_id)).set(gateway_returns::applied_at_us.eq(now_us)).execute(c)
    })?;
    Ok(())
}
