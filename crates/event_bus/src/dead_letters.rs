//! The dead letter table: messages that can never be applied, and events that can never be published, with their original
//! bytes and the reason. It is in the service's database, so it survives a data loss in Kafka, and a dead letter is inserted in
//! the transaction that gives the message up.

use crate::outbox::OutboxRow;
use crate::schema::dead_letters;
use crate::{IncomingMessage, OutgoingMessage};
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};
use std::collections::{HashMap, HashSet};
use text_enum::text_enum;

/// A message that cannot be applied, and the reason.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The message.
    pub message: IncomingMessage,
    /// The reason; never a part of the body, which may hold patient data.
    pub reason: String,
}

#[derive(Insertable)]
#[diesel(table_name = dead_letters)]
#[diesel(treat_none_as_default_value = false)]
struct NewRow<'a> {
    topic: &'a str,
    partition: i64,
    message_offset: i64,
    message_time_ms: i64,
    message_key: Option<&'a [u8]>,
    headers: String,
    body: &'a [u8],
    reason: &'a str,
    received_at_us: i64,
    event_id: Option<&'a str>,
}

/// Event ids in one SELECT, to stay below SQLite's limit on parameters.
const IDS_PER_SELECT: usize = 1_000;

/// Stored as the partition of an event that was never published.
const NO_PARTITION: i64 = -1;

/// The dead letters that a transaction inserted. Report them after the commit: a transaction may run twice, and a rolled back
/// one has inserted none.
#[derive(Debug, Default)]
#[must_use = "dead letters are logged and counted only by `report`, after the commit"]
pub struct NewDeadLetters(Vec<NewDeadLetter>);

#[derive(Debug)]
struct NewDeadLetter {
    topic: String,
    message: String,
    reason: String,
    /// Set for an event that cannot be published.
    event_id: Option<String>,
}

impl NewDeadLetters {
    /// Logs and counts each.
    pub fn report(self) {
        for NewDeadLetter { topic, message, reason, event_id } in self.0 {
            metrics::counter!("dead_letters_total", "topic" => topic).increment(1);
            match event_id {
                None => tracing::error!(message, reason, "message dead-lettered, it cannot be applied"),
                Some(event_id) => {
                    tracing::error!(message, event_id, reason, "event dead-lettered, it cannot be published")
                }
            }
        }
    }
}

/// Inserts dead letters, inside the caller's transaction. A message that is consumed again is stored once: it is identified by
/// topic, partition, offset and time stamp. The time stamp is needed because a wiped Kafka starts again at offset 0.
pub fn insert(connection: &mut Connection, dead_letters: &[DeadLetter], now_us: i64) -> Result<NewDeadLetters> {
    let mut new = NewDeadLetters::default();
    for DeadLetter { message, reason } in dead_letters {
        let headers: Vec<(&str, String)> = message
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        let row = NewRow {
            topic: &message.topic,
            partition: message.partition.into(),
            message_offset: message.offset,
            message_time_ms: message.time_ms,
            message_key: message.key.as_deref(),
            headers: serde_json::to_string(&headers).expect("pairs of text always serialize"),
            body: &message.body,
            reason,
            received_at_us: now_us,
            event_id: None,
        };
        let inserted = on_each_backend!(connection, |c| {
            diesel::insert_into(dead_letters::table).values(&row).on_conflict_do_nothing().execute(c)
        })?;
        if inserted > 0 {
            let (topic, message) = (message.topic.clone(), format!("{message:?}"));
            new.0.push(NewDeadLetter { topic, message, reason: reason.clone(), event_id: None });
        }
    }
    Ok(new)
}

/// Inserts a dead letter for an event that cannot be published, with the columns of its outbox row. An event has one dead
/// letter, however often it is re-published: a waiting one is updated with the last message, and a discarded one stays as it
/// is. After a redrive it gets a new one.
pub(crate) fn insert_unpublished(
    connection: &mut Connection,
    row: &OutboxRow,
    created_at_us: i64,
    reason: &str,
    now_us: i64,
) -> Result<NewDeadLetters> {
    let known: Option<(i64, DeadLetterState)> = on_each_backend!(connection, |c| {
        dead_letters::table
            .filter(dead_letters::event_id.eq(&row.event_id))
            .filter(dead_letters::topic.eq(&row.topic))
            .filter(dead_letters::state.ne(DeadLetterState::Redriven))
            .order(dead_letters::id.desc())
            .select((dead_letters::id, dead_letters::state))
            .first(c)
            .optional()
    })?;
    if let Some((id, state)) = known {
        if state == DeadLetterState::Waiting {
            on_each_backend!(connection, |c| {
                diesel::update(dead_letters::table.find(id))
                    .set((
                        dead_letters::message_key.eq(Some(row.message_key.as_bytes())),
                        dead_letters::headers.eq(row.headers.stored()),
                        dead_letters::body.eq(row.body.as_bytes()),
                        dead_letters::reason.eq(reason),
                    ))
                    .execute(c)
            })?;
        }
        return Ok(NewDeadLetters::default());
    }
    let dead_letter = NewRow {
        topic: &row.topic,
        partition: NO_PARTITION,
        message_offset: row.id,
        message_time_ms: created_at_us / 1_000,
        message_key: Some(row.message_key.as_bytes()),
        headers: row.headers.stored().into_owned(),
        body: row.body.as_bytes(),
        reason,
        received_at_us: now_us,
        event_id: Some(&row.event_id),
    };
    on_each_backend!(connection, |c| diesel::insert_into(dead_letters::table).values(&dead_letter).execute(c))?;
    Ok(NewDeadLetters(vec![NewDeadLetter {
        topic: row.topic.clone(),
        message: format!("{}, row {} of the outbox ({} bytes)", row.topic, row.id, row.body.len()),
        reason: reason.to_owned(),
        event_id: Some(row.event_id.clone()),
    }]))
}

/// The waiting dead letters of events that could not be published: those of `topic` whose event id is a key followed by
/// `id_suffix`. Returns the time of the dead letter by that key, in microseconds since 1970.
pub(crate) fn unpublished_since(
    connection: &mut Connection,
    topic: &str,
    id_suffix: &str,
) -> Result<HashMap<String, i64>> {
    let found: Vec<(Option<String>, i64)> = on_each_backend!(connection, |c| {
        dead_letters::table
            .filter(dead_letters::event_id.is_not_null())
            .filter(dead_letters::topic.eq(topic))
            .filter(dead_letters::state.eq(DeadLetterState::Waiting))
            .select((dead_letters::event_id, dead_letters::received_at_us))
            .load(c)
    })?;
    let key = |id: Option<String>| id.and_then(|id| id.strip_suffix(id_suffix).map(str::to_owned));
    Ok(found.into_iter().filter_map(|(id, since_us)| Some((key(id)?, since_us))).collect())
}

/// The ids of those `messages` whose event waits as a dead letter, because it could not be published.
pub fn unpublishable(connection: &mut Connection, messages: &[OutgoingMessage]) -> Result<HashSet<String>> {
    let mut found = HashSet::new();
    for chunk in messages.chunks(IDS_PER_SELECT) {
        let ids: Vec<&str> = chunk.iter().map(|message| message.event_id.as_str()).collect();
        let waiting: Vec<Option<String>> = on_each_backend!(connection, |c| {
            dead_letters::table
                .filter(dead_letters::event_id.eq_any(&ids))
                .filter(dead_letters::state.eq(DeadLetterState::Waiting.as_str()))
                .select(dead_letters::event_id)
                .load(c)
        })?;
        found.extend(waiting.into_iter().flatten());
    }
    Ok(found)
}

text_enum! {
    /// The state of a dead letter.
    pub enum DeadLetterState {
        /// An operator has to redrive or discard it.
        Waiting = "waiting",
        /// An operator has published it again.
        Redriven = "redriven",
        /// An operator has discarded it: it will never be published again.
        Discarded = "discarded",
    }
}

dual_db::text_columns!(DeadLetterState);

/// The number of dead letters, in any state.
pub fn count(connection: &mut Connection) -> Result<i64> {
    Ok(on_each_backend!(connection, |c| dead_letters::table.count().get_result(c))?)
}

/// The number of dead letters that wait for an operator.
pub fn count_waiting(connection: &mut Connection) -> Result<i64> {
    Ok(on_each_backend!(connection, |c| {
        dead_letters::table.filter(dead_letters::state.eq(DeadLetterState::Waiting.as_str())).count().get_result(c)
    })?)
}

/// A dead letter as it is stored, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = dead_letters)]
#[allow(missing_docs)]
pub struct KeptDeadLetter {
    pub id: i64,
    pub topic: String,
    /// -1 for an event that could not be published.
    pub partition: i64,
    /// For an event that could not be published, the id of its outbox row.
    pub message_offset: i64,
    pub message_time_ms: i64,
    pub message_key: Option<Vec<u8>>,
    /// A JSON array of pairs of name and value.
    pub headers: String,
    pub reason: String,
    pub received_at_us: i64,
    pub state: DeadLetterState,
    /// When it was redriven or discarded, in microseconds since 1970.
    pub ended_at_us: Option<i64>,
    /// The operator's reason.
    pub ended_reason: Option<String>,
    /// The operator's name, as sent by the operator.
    pub ended_by: Option<String>,
    /// The client address of the operator's request.
    pub ended_from: Option<String>,
    /// The id of an event that could not be published.
    pub event_id: Option<String>,
    /// The size of the body, in bytes.
    #[diesel(select_expression = length(dead_letters::body))]
    pub body_bytes: i32,
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// The number of bytes, on both databases.
    fn length(bytes: diesel::sql_types::Binary) -> diesel::sql_types::Integer;
}

/// Up to `limit` dead letters, newest first, of `state` or of all states, with ids below `before`.
pub fn list(
    connection: &mut Connection,
    state: Option<DeadLetterState>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<KeptDeadLetter>> {
    Ok(on_each_backend!(connection, |c| {
        let mut query = dead_letters::table
            .filter(dead_letters::id.lt(before.unwrap_or(i64::MAX)))
            .order(dead_letters::id.desc())
            .limit(limit)
            .select(KeptDeadLetter::as_select())
            .into_boxed();
        if let Some(state) = state {
            query = query.filter(dead_letters::state.eq(state));
        }
        query.load(c)
    })?)
}

/// The dead letter with this id and its body, which may hold any bytes.
pub fn find(connection: &mut Connection, id: i64) -> Result<Option<(KeptDeadLetter, Vec<u8>)>> {
    Ok(on_each_backend!(connection, |c| {
        dead_letters::table.find(id).select((KeptDeadLetter::as_select(), dead_letters::body)).first(c).optional()
    })?)
}
