//! What the gateway told of payments that came back, each kept once and applied once.

use super::schema::gateway_returns;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// A payment that came back.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = gateway_returns)]
pub struct GatewayReturn {
    /// The gateway's id of the event: the same however often it is told.
    pub event_id: String,
    /// The claim.
    pub claim_id: String,
    /// How much came back, in cents.
    pub amount_cents: i64,
    /// When it was told first.
    pub received_at_us: i64,
}

/// Keeps a return; `false` for one that was told before.
pub fn keep(connection: &mut Connection, told: &GatewayReturn) -> Result<bool> {
    let kept = on_each_backend!(connection, |c| {
        diesel::insert_into(gateway_returns::table).values(told).on_conflict_do_nothing().execute(c)
    })?;
    Ok(kept == 1)
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

/// Notes that a return was applied.
pub fn note_applied(connection: &mut Connection, event_id: &str, now_us: i64) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(gateway_returns::table.find(event_id)).set(gateway_returns::applied_at_us.eq(now_us)).execute(c)
    })?;
    Ok(())
}
