//! The outbox table: the events that Kafka has not acknowledged yet. A row is inserted in the transaction that its event
//! reports, and deleted once Kafka has acknowledged it. So an event is never lost between the database and Kafka, but may be
//! sent twice.
//!
//! Order between rows does not matter: every event carries its version.

use crate::OutgoingMessage;
use crate::insert_rows::InsertRows;
use crate::message::headers_as_json;
use crate::schema::outbox;
use diesel::prelude::*;
use dual_db::{Connection, DueTimes, Result, load_skipping_locked, on_each_backend};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

/// Event ids in one SELECT, to stay below the limit of SQLite on parameters.
const IDS_PER_SELECT: usize = 1_000;

#[derive(Insertable)]
#[diesel(table_name = outbox, treat_none_as_default_value = false)]
struct NewRow<'a> {
    event_id: &'a str,
    topic: &'a str,
    message_key: &'a str,
    headers: Option<String>,
    body: Option<&'a str>,
    created_at_us: i64,
    send_after_us: i64,
}

/// A message that is committed and not acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row's id, by which a delivery report finds it.
    pub id: i64,
    /// The event's derived id: its identity, however often it is published.
    pub event_id: String,
    /// The topic.
    pub topic: String,
    /// The message key, which decides the partition.
    pub message_key: String,
    /// The headers.
    pub headers: RowHeaders,
    /// The body.
    pub body: String,
}

/// The headers of a row: those of its message, or the text in which they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowHeaders {
    /// Names and values.
    Pairs(Vec<(String, String)>),
    /// A JSON array of pairs of name and value.
    Stored(String),
}

impl RowHeaders {
    /// Names and values; `None` if they cannot be read.
    pub(crate) fn pairs(&self) -> Option<Cow<'_, [(String, String)]>> {
        match self {
            RowHeaders::Pairs(pairs) => Some(Cow::Borrowed(pairs)),
            RowHeaders::Stored(text) => serde_json::from_str(text).ok().map(Cow::Owned),
        }
    }

    /// The text in which they are stored.
    pub(crate) fn stored(&self) -> Cow<'_, str> {
        match self {
            RowHeaders::Pairs(pairs) => Cow::Owned(headers_as_json(pairs)),
            RowHeaders::Stored(text) => Cow::Borrowed(text),
        }
    }
}

impl OutboxRow {
    /// The row with this id, and its message.
    pub(crate) fn new(id: i64, message: OutgoingMessage) -> Self {
        let OutgoingMessage { event_id, topic, key, headers, body } = message;
        Self { id, event_id, topic, message_key: key, headers: RowHeaders::Pairs(headers), body }
    }
}

/// An event that is in the outbox without its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPointer {
    /// The event's derived id.
    pub event_id: String,
    /// The topic.
    pub topic: String,
    /// The message key.
    pub key: String,
}

/// A row as it is stored: with a message, or a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub(crate) struct StoredRow {
    pub id: i64,
    pub event_id: String,
    pub topic: String,
    pub message_key: String,
    headers: Option<String>,
    body: Option<String>,
}

impl StoredRow {
    pub fn is_pointer(&self) -> bool {
        self.headers.is_none() || self.body.is_none()
    }

    pub fn pointer(&self) -> EventPointer {
        EventPointer { event_id: self.event_id.clone(), topic: self.topic.clone(), key: self.message_key.clone() }
    }

    /// Whether the message need not be inserted beside this row of its event.
    fn stands_for(&self, message: &OutgoingMessage) -> bool {
        self.topic == message.topic
            && self.message_key == message.key
            && (self.is_pointer()
                || (self.body.as_ref() == Some(&message.body)
                    && self.headers.as_ref() == Some(&message.headers_as_json())))
    }

    /// The row with the message that is stored in it.
    pub fn into_row(self) -> OutboxRow {
        let Self { id, event_id, topic, message_key, headers, body } = self;
        let (headers, body) = (RowHeaders::Stored(headers.unwrap_or_default()), body.unwrap_or_default());
        OutboxRow { id, event_id, topic, message_key, headers, body }
    }
}

/// Inserts messages into the outbox, inside the caller's transaction, those as pointers whose flag is set. Returns the ids in the
/// order of the messages. The rows are published after the commit. The sweeper ignores them until `grace_us` after `now_us`, which
/// leaves time for that.
pub(crate) fn insert(
    connection: &mut Connection,
    messages: &[(OutgoingMessage, bool)],
    now_us: i64,
    grace_us: i64,
) -> Result<Vec<i64>> {
    let (created_at_us, send_after_us) = (now_us, now_us + grace_us);
    let mut ids: Vec<i64> = match connection {
        Connection::Postgres(c) => {
            let messages = messages.iter().map(|(message, is_pointer)| (message, *is_pointer));
            InsertRows::new(messages, created_at_us, send_after_us).load(c)?
        }
        Connection::Sqlite(c) => {
            // One row at a time is one text, which is prepared once.
            let mut ids = Vec::with_capacity(messages.len());
            for (message, is_pointer) in messages {
                let row = NewRow {
                    event_id: &message.event_id,
                    topic: &message.topic,
                    message_key: &message.key,
                    headers: (!is_pointer).then(|| message.headers_as_json()),
                    body: (!is_pointer).then_some(message.body.as_str()),
                    created_at_us,
                    send_after_us,
                };
                ids.push(diesel::insert_into(outbox::table).values(row).returning(outbox::id).get_result::<i64>(c)?);
            }
            ids
        }
    };
    // Ids are given in the order of insertion.
    ids.sort_unstable();
    Ok(ids)
}

/// The `messages` of which no identical one is in the outbox. A message that differs from the row of the same event, such as
/// one with newer data, is returned; not if that row is a pointer, from which the newest data is published.
pub(crate) fn not_waiting(connection: &mut Connection, messages: &[OutgoingMessage]) -> Result<Vec<OutgoingMessage>> {
    let mut missing = Vec::with_capacity(messages.len());
    for chunk in messages.chunks(IDS_PER_SELECT) {
        let ids: Vec<&str> = chunk.iter().map(|message| message.event_id.as_str()).collect();
        let found: Vec<StoredRow> = on_each_backend!(connection, |c| {
            outbox::table.filter(outbox::event_id.eq_any(&ids)).select(StoredRow::as_select()).load(c)
        })?;
        let mut waiting: HashMap<String, Vec<StoredRow>> = HashMap::new();
        for row in found {
            waiting.entry(row.event_id.clone()).or_default().push(row);
        }
        let waits = |message: &OutgoingMessage| {
            waiting.get(&message.event_id).is_some_and(|rows| rows.iter().any(|row| row.stands_for(message)))
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
pub(crate) fn take_due(connection: &mut Connection, now_us: i64, limit: i64, lease_us: i64) -> Result<Vec<StoredRow>> {
    let rows: Vec<StoredRow> = load_skipping_locked!(
        connection,
        outbox::table
            .filter(outbox::send_after_us.le(now_us))
            .order(outbox::send_after_us)
            .limit(limit)
            .select(StoredRow::as_select())
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
pub(crate) fn find(connection: &mut Connection, ids: &[i64]) -> Result<Vec<StoredRow>> {
    Ok(on_each_backend!(connection, |c| {
        outbox::table.filter(outbox::id.eq_any(ids)).select(StoredRow::as_select()).load(c)
    })?)
}

/// Deletes a row and returns it with the time of its insertion, in microseconds since 1970. Returns `None` if another instance
/// has deleted it.
pub(crate) fn take_out(connection: &mut Connection, id: i64) -> Result<Option<(StoredRow, i64)>> {
    Ok(on_each_backend!(connection, |c| {
        diesel::delete(outbox::table.filter(outbox::id.eq(id)))
            .returning((StoredRow::as_returning(), outbox::created_at_us))
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
            let messages: Vec<_> = (0..2_500).map(|n| (message(n), n % 2 == 0)).collect();
            let ids = database.write(|c| insert(c, &messages, 1_000, 500)).unwrap();
            assert_eq!(ids.len(), 2_500);
            let stored = database.read(|c| find(c, &ids)).unwrap();
            for row in stored {
                let n = ids.binary_search(&row.id).unwrap();
                let pointer = EventPointer { event_id: format!("event-{n}"), topic: "topic".into(), key: format!("key-{n}") };
                assert_eq!((row.pointer(), row.is_pointer()), (pointer, n % 2 == 0), "the ids are those of the messages");
            }
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
            let stored: Vec<_> = waits.iter().map(|message| (message.clone(), false)).collect();
            let ids = database.write(|c| insert(c, &stored, 0, 0)).unwrap();
            // Twice, as `insert` does not look for identical rows.
            database.write(|c| insert(c, &stored, 0, 0)).unwrap();
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
            database.write(|c| delete(c, &ids)).unwrap();
            assert!(database.read(|c| not_waiting(c, waits)).unwrap().is_empty(), "the second rows are there");
            database.write(|c| Ok(on_each_backend!(c, |c| diesel::delete(outbox::table).execute(c))?)).unwrap();
            assert_eq!(database.read(|c| not_waiting(c, waits)).unwrap(), waits);
        }

        fn a_pointer_stands_for_every_message_of_its_event(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).unwrap();
            database.write(|c| insert(c, &[(message(1), true)], 0, 0)).unwrap();
            let messages = [
                message(1),
                OutgoingMessage { body: "{\"known\":1}".into(), ..message(1) },
                OutgoingMessage { topic: "another".into(), ..message(1) },
                message(2),
            ];
            assert_eq!(database.read(|c| not_waiting(c, &messages)).unwrap(), messages[2..]);
        }

        fn a_rolled_back_event_is_never_sent(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).unwrap();
            let failed = database.write(|c| {
                insert(c, &[(message(1), false)], 0, 0)?;
                Err::<(), _>(diesel::result::Error::RollbackTransaction.into())
            });
            assert!(failed.is_err());
            assert_eq!(database.read(pending).unwrap(), 0);
        }
    }
}
