//! The outbox table: the events that Kafka has not acknowledged yet. A row is inserted in the transaction that its event
//! reports, and deleted once Kafka has acknowledged it. So an event is never lost between the database and Kafka, but may be
//! sent twice.
//!
//! Order between rows does not matter: every event carries its version.

use crate::OutgoingMessage;
use crate::schema::outbox;
use diesel::prelude::*;
use dual_db::{Connection, DueTimes, Result, load_skipping_locked, on_each_backend};
use std::collections::HashSet;
use std::time::Duration;

/// Rows in one INSERT, to stay below SQLite's limit on parameters.
const ROWS_PER_INSERT: usize = 1_000;

/// Event ids in one SELECT, for the same reason.
const IDS_PER_SELECT: usize = 1_000;

#[derive(Insertable)]
#[diesel(table_name = outbox, treat_none_as_default_value = false)]
struct NewRow {
    event_id: String,
    topic: String,
    message_key: String,
    headers: String,
    body: String,
    created_at_us: i64,
    send_after_us: i64,
}

/// A message that is committed and not acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct OutboxRow {
    /// The row's id, by which a delivery report finds it.
    pub id: i64,
    /// The event's derived id: its identity, however often it is published.
    pub event_id: String,
    /// The topic.
    pub topic: String,
    /// The message key, which decides the partition.
    pub message_key: String,
    /// The headers as a JSON array of pairs of name and value.
    #[diesel(select_expression = outbox::headers.assume_not_null())]
    pub headers: String,
    /// The body.
    #[diesel(select_expression = outbox::body.assume_not_null())]
    pub body: String,
}

/// Inserts messages into the outbox, inside the caller's transaction. The rows are published after the commit. The sweeper
/// ignores them until `grace_us` after `now_us`, which leaves time for that.
pub(crate) fn insert(
    connection: &mut Connection,
    messages: &[OutgoingMessage],
    now_us: i64,
    grace_us: i64,
) -> Result<Vec<OutboxRow>> {
    let rows: Vec<NewRow> = messages
        .iter()
        .map(|message| NewRow {
            event_id: message.event_id.clone(),
            topic: message.topic.clone(),
            message_key: message.key.clone(),
            headers: stored_headers(message),
            body: message.body.clone(),
            created_at_us: now_us,
            send_after_us: now_us + grace_us,
        })
        .collect();
    let mut inserted = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(ROWS_PER_INSERT) {
        let mut written: Vec<OutboxRow> = on_each_backend!(connection, |c| {
            diesel::insert_into(outbox::table).values(chunk).returning(OutboxRow::as_returning()).get_results(c)
        })?;
        inserted.append(&mut written);
    }
    Ok(inserted)
}

fn stored_headers(message: &OutgoingMessage) -> String {
    serde_json::to_string(&message.headers).expect("pairs of text always serialize")
}

/// The `messages` of which no identical one is in the outbox. A message that differs from the row of the same event, such as
/// one with newer data, is returned.
pub(crate) fn not_waiting(connection: &mut Connection, messages: &[OutgoingMessage]) -> Result<Vec<OutgoingMessage>> {
    let mut missing = Vec::with_capacity(messages.len());
    for chunk in messages.chunks(IDS_PER_SELECT) {
        let ids: Vec<&str> = chunk.iter().map(|message| message.event_id.as_str()).collect();
        let waiting: Vec<(String, String, String, String)> = on_each_backend!(connection, |c| {
            outbox::table
                .filter(outbox::event_id.eq_any(&ids))
                .select((
                    outbox::topic,
                    outbox::message_key,
                    outbox::headers.assume_not_null(),
                    outbox::body.assume_not_null(),
                ))
                .distinct()
                .load(c)
        })?;
        let waiting: HashSet<_> = waiting.into_iter().collect();
        let waits = |message: &OutgoingMessage| {
            let OutgoingMessage { topic, key, body, .. } = message.clone();
            waiting.contains(&(topic, key, stored_headers(message), body))
        };
        missing.extend(chunk.iter().filter(|message| !waits(message)).cloned());
    }
    Ok(missing)
}

/// The due times of the rows, which the sweeper ignores for `lease_us` at most.
pub(crate) fn due_times(lease_us: i64) -> DueTimes {
    DueTimes::new("outbox", "send_after_us", Duration::from_micros(u64::try_from(lease_us).unwrap_or(0)))
}

/// Takes due rows, oldest first, and makes them due again after `lease_us`, so that no other sweeper takes them meanwhile.
pub(crate) fn take_due(connection: &mut Connection, now_us: i64, limit: i64, lease_us: i64) -> Result<Vec<OutboxRow>> {
    let rows: Vec<OutboxRow> = load_skipping_locked!(
        connection,
        outbox::table
            .filter(outbox::send_after_us.le(now_us))
            .order(outbox::send_after_us)
            .limit(limit)
            .select(OutboxRow::as_select())
    )?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    on_each_backend!(connection, |c| {
        diesel::update(outbox::table.filter(outbox::id.eq_any(&ids)))
            .set(outbox::send_after_us.eq(now_us + lease_us))
            .execute(c)
    })?;
    Ok(rows)
}

/// Whether [`take_due`] would find a row. It only reads, so that an idle sweeper takes no lock.
pub(crate) fn any_due(connection: &mut Connection, now_us: i64) -> Result<bool> {
    let first: Option<i64> = on_each_backend!(connection, |c| {
        outbox::table.filter(outbox::send_after_us.le(now_us)).select(outbox::id).first(c).optional()
    })?;
    Ok(first.is_some())
}

/// Whether there is no row.
pub(crate) fn is_empty(connection: &mut Connection) -> Result<bool> {
    let first: Option<i64> = on_each_backend!(connection, |c| outbox::table.select(outbox::id).first(c).optional())?;
    Ok(first.is_none())
}

/// The rows with these ids that still exist.
pub(crate) fn find(connection: &mut Connection, ids: &[i64]) -> Result<Vec<OutboxRow>> {
    Ok(on_each_backend!(connection, |c| {
        outbox::table.filter(outbox::id.eq_any(ids)).select(OutboxRow::as_select()).load(c)
    })?)
}

/// Deletes a row and returns it with the time of its insertion, in microseconds since 1970. Returns `None` if another instance
/// has deleted it.
pub(crate) fn take_out(connection: &mut Connection, id: i64) -> Result<Option<(OutboxRow, i64)>> {
    Ok(on_each_backend!(connection, |c| {
        diesel::delete(outbox::table.filter(outbox::id.eq(id)))
            .returning((OutboxRow::as_returning(), outbox::created_at_us))
            .get_result(c)
            .optional()
    })?)
}

/// Deletes rows that were delivered.
pub(crate) fn delete(connection: &mut Connection, ids: &[i64]) -> Result<()> {
    on_each_backend!(connection, |c| diesel::delete(outbox::table.filter(outbox::id.eq_any(ids))).execute(c))?;
    Ok(())
}

/// The number of messages that are not acknowledged yet.
pub fn pending(connection: &mut Connection) -> Result<i64> {
    Ok(on_each_backend!(connection, |c| outbox::table.count().get_result(c))?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dual_db::Database;
    use test_support::{assert_uses_index, on_both_databases};

    pub(crate) fn message(n: usize) -> OutgoingMessage {
        OutgoingMessage {
            event_id: format!("event-{n}"),
            topic: "topic".into(),
            key: format!("key-{n}"),
            headers: vec![("a".into(), "b".into())],
            body: "{}".into(),
        }
    }

    on_both_databases! {
        fn a_row_is_due_after_its_grace_and_then_taken_once_until_its_lease_is_over(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).unwrap();
            let messages: Vec<_> = (0..2_500).map(message).collect();
            let rows = database.write(|c| insert(c, &messages, 1_000, 500)).unwrap();
            assert_eq!(rows.len(), 2_500);
            assert!(!database.read(|c| any_due(c, 1_499)).unwrap());
            assert!(database.write(|c| take_due(c, 1_499, 10, 100)).unwrap().is_empty());
            assert!(database.read(|c| any_due(c, 1_500)).unwrap());
            let taken = database.write(|c| take_due(c, 1_500, 2_000, 100)).unwrap();
            let others = database.write(|c| take_due(c, 1_500, 2_000, 100)).unwrap();
            assert_eq!((taken.len(), others.len()), (2_000, 500));
            assert!(others.iter().all(|row| !taken.contains(row)));
            assert_eq!(database.write(|c| take_due(c, 1_600, 5_000, 100)).unwrap().len(), 2_500);
            database.write(|c| delete(c, &taken.iter().map(|row| row.id).collect::<Vec<_>>())).unwrap();
            assert_eq!(database.read(pending).unwrap(), 500);
        }

        fn the_index_finds_rows_that_are_due_too_late(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).unwrap();
            for query in due_times(12_000_000).queries() {
                assert_uses_index(database, &query, "outbox_send_after");
            }
        }

        fn only_a_message_that_is_identical_to_a_row_is_left_out(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).unwrap();
            let messages: Vec<_> = (0..2_500).map(message).collect();
            let waits = &messages[500..1_500];
            let rows = database.write(|c| insert(c, waits, 0, 0)).unwrap();
            // Twice, as `insert` does not look for identical rows.
            database.write(|c| insert(c, waits, 0, 0)).unwrap();
            let missing = database.read(|c| not_waiting(c, &messages)).unwrap();
            assert!(missing.iter().eq(messages[..500].iter().chain(&messages[1_500..])));
            let others = [
                OutgoingMessage { body: "{\"known\":1}".into(), ..message(700) },
                OutgoingMessage { headers: Vec::new(), ..message(700) },
                OutgoingMessage { topic: "another".into(), ..message(700) },
                OutgoingMessage { key: "another".into(), ..message(700) },
            ];
            assert_eq!(database.read(|c| not_waiting(c, &others)).unwrap(), others);
            // A row that a sweeper has taken still counts; a deleted one does not.
            database.write(|c| take_due(c, 1, 5_000, 1_000)).unwrap();
            database.write(|c| delete(c, &rows.iter().map(|row| row.id).collect::<Vec<_>>())).unwrap();
            assert!(database.read(|c| not_waiting(c, waits)).unwrap().is_empty(), "the second rows are there");
            database.write(|c| Ok(on_each_backend!(c, |c| diesel::delete(outbox::table).execute(c))?)).unwrap();
            assert_eq!(database.read(|c| not_waiting(c, waits)).unwrap(), waits);
        }

        fn a_rolled_back_event_is_never_sent(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).unwrap();
            let failed = database.write(|c| {
                insert(c, &[message(1)], 0, 0)?;
                Err::<(), _>(diesel::result::Error::RollbackTransaction.into())
            });
            assert!(failed.is_err());
            assert_eq!(database.read(pending).unwrap(), 0);
        }
    }
}
