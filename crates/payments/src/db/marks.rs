//! The database's mark: its one row says when it was made or restored, and whether claim_process has asked anew since.

use super::schema::{database_mark, sagas};
use crate::domain::mark::Mark;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// The one row.
const ID: i64 = 1;

/// The mark, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredMark {
    /// The mark.
    pub mark: Mark,
    /// Whether an ask came that is later than it.
    pub asked: bool,
}

/// Marks a database that has no mark as made now. One that has sagas already was made by an earlier version: its facts are
/// complete.
pub fn ensure(connection: &mut Connection, now_us: i64) -> Result<()> {
    let has_sagas =
        on_each_backend!(connection, |c| sagas::table.select(sagas::id).first::<i64>(c).optional())?.is_some();
    let row = (
        database_mark::id.eq(ID),
        database_mark::at_us.eq(if has_sagas { 0 } else { now_us }),
        database_mark::restored.eq(false),
        database_mark::asked.eq(false),
    );
    on_each_backend!(connection, |c| {
        diesel::insert_into(database_mark::table).values(row).on_conflict_do_nothing().execute(c)
    })?;
    Ok(())
}

/// The mark as it is now.
pub fn current(connection: &mut Connection) -> Result<StoredMark> {
    let (at_us, restored, asked) = on_each_backend!(connection, |c| {
        database_mark::table
            .find(ID)
            .select((database_mark::at_us, database_mark::restored, database_mark::asked))
            .first(c)
    })?;
    Ok(StoredMark { mark: Mark { at_us, restored }, asked })
}

/// Marks the database as restored now: all it holds is suspect from here on.
pub fn restored(connection: &mut Connection, now_us: i64) -> Result<()> {
    let fields = (database_mark::at_us.eq(now_us), database_mark::restored.eq(true), database_mark::asked.eq(false));
    on_each_backend!(connection, |c| {
        diesel::insert_into(database_mark::table)
            .values((database_mark::id.eq(ID), fields))
            .on_conflict(database_mark::id)
            .do_update()
            .set(fields)
            .execute(c)
    })?;
    Ok(())
}

/// Notes that claim_process has asked anew.
pub fn note_asked(connection: &mut Connection) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(database_mark::table.find(ID)).set(database_mark::asked.eq(true)).execute(c)
    })?;
    Ok(())
}
