//! The dead letter table: messages that can never be applied, with their original bytes and the reason. It lives in the
//! service's database, so it survives a Kafka that lost its data, and is written in the batch's own transaction.

use crate::IncomingMessage;
use crate::schema::dead_letters;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// A message that cannot be applied, and why.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The message.
    pub message: IncomingMessage,
    /// Why; never a part of the body.
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
}

/// Sets messages aside, inside the caller's transaction. A message that comes again is kept once: it is known by its
/// place and time (the place alone comes again when Kafka was wiped).
pub fn insert(connection: &mut Connection, letters: &[DeadLetter], now_us: i64) -> Result<()> {
    for DeadLetter { message, reason } in letters {
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
        };
        let inserted = on_each_backend!(connection, |c| {
            diesel::insert_into(dead_letters::table).values(&row).on_conflict_do_nothing().execute(c)
        })?;
        if inserted == 0 {
            continue;
        }
        metrics::counter!("dead_letters_total", "topic" => message.topic.clone()).increment(1);
        tracing::error!(?message, reason, "a message cannot be applied and was set aside as a dead letter");
    }
    Ok(())
}

/// How many messages were set aside.
pub fn count(connection: &mut Connection) -> Result<i64> {
    Ok(on_each_backend!(connection, |c| dead_letters::table.count().get_result(c))?)
}

/// A message as it was set aside, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = dead_letters)]
#[allow(missing_docs)]
pub struct KeptDeadLetter {
    pub id: i64,
    pub topic: String,
    pub partition: i64,
    pub message_offset: i64,
    pub message_time_ms: i64,
    pub message_key: Option<Vec<u8>>,
    /// A JSON array of pairs.
    pub headers: String,
    pub reason: String,
    pub received_at_us: i64,
    /// How many bytes the body has.
    #[diesel(select_expression = length(dead_letters::body))]
    pub body_bytes: i32,
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// Bytes, on both databases.
    fn length(bytes: diesel::sql_types::Binary) -> diesel::sql_types::Integer;
}

/// Up to `limit` messages that were set aside, newest first, before the one with the id `before`.
pub fn list(connection: &mut Connection, before: Option<i64>, limit: i64) -> Result<Vec<KeptDeadLetter>> {
    Ok(on_each_backend!(connection, |c| {
        dead_letters::table
            .filter(dead_letters::id.lt(before.unwrap_or(i64::MAX)))
            .order(dead_letters::id.desc())
            .limit(limit)
            .select(KeptDeadLetter::as_select())
            .load(c)
    })?)
}
