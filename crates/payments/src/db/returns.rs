//! What the gateway reported of money that came back, or failed to: each report is kept once and applied once.

use super::schema::gateway_returns;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// The kind of a report that a payment came back.
pub const PAYMENT_RETURNED: &str = "payment.returned";
/// The kind of a report that a refund failed.
pub const REFUND_FAILED: &str = "refund.failed";

/// A report of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = gateway_returns, treat_none_as_default_value = false)]
pub struct GatewayReturn {
    /// The gateway's id of the event: the same however often it is reported.
    pub event_id: String,
    /// [`PAYMENT_RETURNED`] or [`REFUND_FAILED`].
    pub kind: String,
    /// The claim.
    pub claim_id: String,
    /// How much came back, or failed to, in cents.
    pub amount_cents: i64,
    /// The idempotency key of the refund that failed.
    pub refund_key: Option<String>,
    /// Whether another report has the gateway's id of this one, which has an id of our own: it is never booked by itself.
    pub is_ambiguous: bool,
    /// When it was reported first.
    pub received_at_us: i64,
    /// When it was applied.
    pub applied_at_us: Option<i64>,
    /// When an operator resolved it.
    pub resolved_at_us: Option<i64>,
}

impl GatewayReturn {
    /// Whether another report under the same id reports the same.
    pub fn reports_the_same(&self, other: &GatewayReturn) -> bool {
        let content = |report: &GatewayReturn| {
            (report.kind.clone(), report.claim_id.clone(), report.amount_cents, report.refund_key.clone())
        };
        content(self) == content(other)
    }
}

/// Keeps a report; `false` where its id is taken.
pub fn keep(connection: &mut Connection, reported: &GatewayReturn) -> Result<bool> {
    let kept = on_each_backend!(connection, |c| {
        diesel::insert_into(gateway_returns::table).values(reported).on_conflict_do_nothing().execute(c)
    })?;
    Ok(kept == 1)
}

/// The report with this id.
pub fn find(connection: &mut Connection, event_id: &str) -> Result<Option<GatewayReturn>> {
    Ok(on_each_backend!(connection, |c| {
        gateway_returns::table.find(event_id).select(GatewayReturn::as_select()).first(c).optional()
    })?)
}

/// How many wait, and since when the first of them does.
pub fn count_waiting(connection: &mut Connection) -> Result<(i64, Option<i64>)> {
    let waiting = gateway_returns::table
        .filter(gateway_returns::applied_at_us.is_null().and(gateway_returns::resolved_at_us.is_null()));
    Ok(on_each_backend!(connection, |c| {
        waiting.select((diesel::dsl::count_star(), diesel::dsl::min(gateway_returns::received_at_us))).first(c)
    })?)
}

/// Those of these claims that wait to be applied and are not ambiguous, in the order in which they were reported.
pub fn waiting(connection: &mut Connection, claim_ids: &[&str]) -> Result<Vec<GatewayReturn>> {
    Ok(on_each_backend!(connection, |c| {
        gateway_returns::table
            .filter(gateway_returns::claim_id.eq_any(claim_ids))
            .filter(gateway_returns::applied_at_us.is_null().and(gateway_returns::resolved_at_us.is_null()))
            .filter(gateway_returns::is_ambiguous.eq(false))
            .order((gateway_returns::received_at_us, gateway_returns::event_id))
            .select(GatewayReturn::as_select())
            .load(c)
    })?)
}

/// The amounts in cents of a claim's returns that were applied.
pub fn applied_cents(connection: &mut Connection, claim_id: &str) -> Result<Vec<i64>> {
    Ok(on_each_backend!(connection, |c| {
        gateway_returns::table
            .filter(gateway_returns::claim_id.eq(claim_id).and(gateway_returns::kind.eq(PAYMENT_RETURNED)))
            .filter(gateway_returns::applied_at_us.is_not_null())
            .select(gateway_returns::amount_cents)
            .load(c)
    })?)
}

/// Up to `limit` of those that wait to be applied, whose ids come after `after`, in the order of their ids.
pub fn list_waiting(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<GatewayReturn>> {
    Ok(on_each_backend!(connection, |c| {
        gateway_returns::table
            .filter(gateway_returns::event_id.gt(after))
            .filter(gateway_returns::applied_at_us.is_null().and(gateway_returns::resolved_at_us.is_null()))
            .order(gateway_returns::event_id)
            .limit(limit)
            .select(GatewayReturn::as_select())
            .load(c)
    })?)
}

/// Notes that a report was applied.
pub fn note_applied(connection: &mut Connection, event_id: &str, now_us: i64) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(gateway_returns::table.find(event_id)).set(gateway_returns::applied_at_us.eq(now_us)).execute(c)
    })?;
    Ok(())
}

/// Notes that an operator resolved a report, unless it was applied or resolved meanwhile.
pub fn note_resolved(connection: &mut Connection, event_id: &str, now_us: i64) -> Result<bool> {
    let noted = on_each_backend!(connection, |c| {
        diesel::update(gateway_returns::table.find(event_id))
            .filter(gateway_returns::applied_at_us.is_null().and(gateway_returns::resolved_at_us.is_null()))
            .set(gateway_returns::resolved_at_us.eq(now_us))
            .execute(c)
    })?;
    Ok(noted == 1)
}
