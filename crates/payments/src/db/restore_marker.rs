//! The database's marker: its one row says when it was made or restored, and whether claim_process has reannounced its claims since.

use super::schema::{restore_marker, sagas};
use crate::domain::restore_marker::RestoreMarker;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// The one row.
const ID: i64 = 1;

/// The marker, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMarker {
    /// The marker.
    pub marker: RestoreMarker,
    /// Whether a resync epoch came that is later than it.
    pub resynced: bool,
}

/// Marks a database that has no marker as made now. One that has sagas already was made by an earlier version: its facts are
/// complete.
pub fn ensure(connection: &mut Connection, now_us: i64) -> Result<()> {
    let has_sagas =
        on_each_backend!(connection, |c| sagas::table.select(sagas::id).first::<i64>(c).optional())?.is_some();
    let row = (
        restore_marker::id.eq(ID),
        restore_marker::at_us.eq(if has_sagas { 0 } else { now_us }),
        restore_marker::restored.eq(false),
        restore_marker::resynced.eq(false),
    );
    on_each_backend!(connection, |c| {
        diesel::insert_into(restore_marker::table).values(row).on_conflict_do_nothing().execute(c)
    })?;
    Ok(())
}

/// The marker as it is now.
pub fn current(connection: &mut Connection) -> Result<StoredMarker> {
    let (at_us, restored, resynced) = on_each_backend!(connection, |c| {
        restore_marker::table
            .find(ID)
            .select((restore_marker::at_us, restore_marker::restored, restore_marker::resynced))
            .first(c)
    })?;
    Ok(StoredMarker { marker: RestoreMarker { at_us, restored }, resynced })
}

/// Marks the database as restored now: all it holds is unverified from here on.
pub fn restored(connection: &mut Connection, now_us: i64) -> Result<()> {
    let fields =
        (restore_marker::at_us.eq(now_us), restore_marker::restored.eq(true), restore_marker::resynced.eq(false));
    on_each_backend!(connection, |c| {
        diesel::insert_into(restore_marker::table)
            .values((restore_marker::id.eq(ID), fields))
            .on_conflict(restore_marker::id)
            .do_update()
            .set(fields)
            .execute(c)
    })?;
    Ok(())
}

/// Notes that claim_process has reannounced its claims.
pub fn note_resynced(connection: &mut Connection) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(restore_marker::table.find(ID)).set(restore_marker::resynced.eq(true)).execute(c)
    })?;
    Ok(())
}
