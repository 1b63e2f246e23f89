//! Which claims are pending and when their outcome is re-requested: `next_attempt_at_us` is NULL for a claim whose current
//! event is answered.

use super::attention::Attention;
use super::claims::{ClaimRow, StoredClaim, with_details};
use super::schema::claims;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use dual_db::{Connection, DueTimes, Error, Result, load_skipping_locked, on_each_backend};
use std::collections::HashMap;
use std::time::Duration;

/// A claim whose re-request is due.
#[derive(Debug)]
pub struct Overdue {
    /// The key of its row.
    pub id: i64,
    /// Its public id, as stored.
    pub claim_id: String,
    /// How often its outcome was re-requested.
    pub request_count: i64,
    /// Why it needs attention already.
    pub attention: Attention,
    /// The claim, or why its row cannot be read.
    pub claim: std::result::Result<StoredClaim, DieselError>,
}

/// Locks and loads up to `limit` claims whose re-request is due at `now_us`, the longest overdue first. Claims that another
/// instance has locked are skipped. A claim whose row cannot be read does not keep the others from being loaded.
pub fn lock_overdue(connection: &mut Connection, now_us: i64, limit: i64) -> Result<Vec<Overdue>> {
    let locked: Vec<(i64, String, i64, Attention)> = load_skipping_locked!(
        connection,
        claims::table
            .filter(claims::next_attempt_at_us.le(now_us))
            .order(claims::next_attempt_at_us)
            .limit(limit)
            .select((claims::id, claims::claim_id, claims::request_count, Attention::as_select()))
    )?;
    let keys: Vec<i64> = locked.iter().map(|(id, ..)| *id).collect();
    let mut unreadable = HashMap::new();
    let rows = match readable(load(connection, &keys))? {
        Ok(rows) => rows,
        // Each alone shows which of them it is.
        Err(_) => {
            let mut rows = Vec::new();
            for key in keys {
                match readable(load(connection, &[key]))? {
                    Ok(row) => rows.extend(row),
                    Err(error) => _ = unreadable.insert(key, error),
                }
            }
            rows
        }
    };
    let mut claims: HashMap<i64, StoredClaim> =
        with_details(connection, rows)?.into_iter().map(|claim| (claim.row.id, claim)).collect();
    Ok(locked
        .into_iter()
        .filter_map(|(id, claim_id, request_count, attention)| {
            let claim = claims.remove(&id).map(Ok).or_else(|| unreadable.remove(&id).map(Err))?;
            Some(Overdue { id, claim_id, request_count, attention, claim })
        })
        .collect())
}

fn load(connection: &mut Connection, keys: &[i64]) -> Result<Vec<ClaimRow>> {
    Ok(on_each_backend!(connection, |c| {
        claims::table.filter(claims::id.eq_any(keys)).select(ClaimRow::as_select()).load(c)
    })?)
}

/// Separates rows that cannot be read from a database that cannot be read.
fn readable<T>(loaded: Result<T>) -> Result<std::result::Result<T, DieselError>> {
    match loaded {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Query(error @ DieselError::DeserializationError(_))) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// When claims are due, which are re-requested after `longest_pause` at the latest.
pub fn due_times(longest_pause: Duration) -> DueTimes {
    DueTimes::new("claims", "next_attempt_at_us", longest_pause)
}

/// Whether [`lock_overdue`] would find a claim. It takes no lock.
pub fn any_overdue(connection: &mut Connection, now_us: i64) -> Result<bool> {
    let first: Option<i64> = on_each_backend!(connection, |c| {
        claims::table.filter(claims::next_attempt_at_us.le(now_us)).select(claims::id).first(c).optional()
    })?;
    Ok(first.is_some())
}

/// Records that a claim's outcome was re-requested: for the `request_count`th time, and next at `next_attempt_at_us`.
pub fn record_request(
    connection: &mut Connection,
    id: i64,
    next_attempt_at_us: i64,
    request_count: i64,
    attention: &Attention,
) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(claims::table.find(id))
            .set((
                claims::next_attempt_at_us.eq(next_attempt_at_us),
                claims::request_count.eq(request_count),
                claims::outcome_overdue.eq(attention.outcome_overdue),
                claims::needs_attention.eq(attention.is_needed()),
            ))
            .execute(c)
    })?;
    Ok(())
}

/// The highest resync epoch of any claim; 0 if there are no claims.
pub fn highest_resync_epoch(connection: &mut Connection) -> Result<i64> {
    let highest: Option<i64> =
        on_each_backend!(connection, |c| claims::table.select(diesel::dsl::max(claims::resync_epoch)).first(c))?;
    Ok(highest.unwrap_or(0))
}

/// Raises the resync epoch of up to `limit` claims whose key is above `after`, and schedules their re-request for `now_us`.
/// With `since_us` only of claims that were submitted, voided or given an outcome at that time or later. Returns the keys,
/// in order. Each begins without attention: a payment that needs a person is reported again, under its new epoch.
pub fn raise_resync_epoch(
    connection: &mut Connection,
    resync_epoch: i64,
    since_us: Option<i64>,
    after: i64,
    limit: i64,
    now_us: i64,
) -> Result<Vec<i64>> {
    let keys: Vec<i64> = on_each_backend!(connection, |c| {
        let mut query =
            claims::table.filter(claims::id.gt(after)).order(claims::id).limit(limit).select(claims::id).into_boxed();
        if let Some(since_us) = since_us {
            query = query.filter(
                claims::submitted_at_us
                    .nullable()
                    .ge(since_us)
                    .or(claims::outcome_at_us.ge(since_us))
                    .or(claims::voided_at_us.ge(since_us)),
            );
        }
        query.load(c)
    })?;
    on_each_backend!(connection, |c| {
        diesel::update(claims::table.filter(claims::id.eq_any(&keys).and(claims::resync_epoch.lt(resync_epoch))))
            .set((
                claims::resync_epoch.eq(resync_epoch),
                claims::next_attempt_at_us.eq(now_us),
                claims::request_count.eq(0),
                claims::outcome_overdue.eq(false),
                claims::payment_attention.eq(None::<String>),
                claims::payment_attention_revision.eq(0),
                claims::needs_attention.eq(false),
            ))
            .execute(c)
    })?;
    Ok(keys)
}
