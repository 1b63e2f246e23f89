//! The trusted time by which idempotency keys are purged: one row, shared by all instances.

use super::schema::{idempotency_keys, key_clock};
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// The one row.
const ID: i64 = 1;

/// The trusted time, in microseconds since 1970. A database without one begins with the time of its newest key, or now if it has
/// none.
pub fn read(connection: &mut Connection, now_us: i64) -> Result<i64> {
    let stored: Option<i64> =
        on_each_backend!(connection, |c| key_clock::table.find(ID).select(key_clock::at_us).first(c).optional())?;
    if let Some(at_us) = stored {
        return Ok(at_us);
    }
    let newest_us: Option<i64> = on_each_backend!(connection, |c| {
        idempotency_keys::table.select(diesel::dsl::max(idempotency_keys::created_at_us)).first(c)
    })?;
    Ok(newest_us.map_or(now_us, |newest_us| newest_us.min(now_us)))
}

/// Raises the trusted time; a later one stays.
pub fn raise(connection: &mut Connection, at_us: i64) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::insert_into(key_clock::table)
            .values((key_clock::id.eq(ID), key_clock::at_us.eq(at_us)))
            .on_conflict_do_nothing()
            .execute(c)
    })?;
    on_each_backend!(connection, |c| {
        diesel::update(key_clock::table.find(ID).filter(key_clock::at_us.lt(at_us)))
            .set(key_clock::at_us.eq(at_us))
            .execute(c)
    })?;
    Ok(())
}
