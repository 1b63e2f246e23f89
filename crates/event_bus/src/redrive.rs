//! How a dead letter ends: an operator redrives it, which publishes it again unchanged through the outbox, or discards it.
//! Each dead letter ends once.
//!
//! Nothing is deleted: the row stays, and records the disposition, the time, the reason and the operator.

use crate::dead_letters::{DeadLetterState, KeptDeadLetter, find};
use crate::schema::dead_letters;
use crate::{OutgoingMessage, Publications};
use diesel::prelude::*;
use dual_db::{Connection, Result, load_for_update, on_each_backend};

/// What is recorded of an operator action on a dead letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterAction {
    /// The operator's reason.
    pub reason: Option<String>,
    /// The operator's name, as sent by the operator.
    pub operator: Option<String>,
    /// The client address of the request.
    pub client: String,
}

/// The result of redriving or discarding a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// There is no dead letter with this id.
    Unknown,
    /// It was redriven or discarded before; nothing was changed.
    AlreadyEnded(KeptDeadLetter),
    /// It cannot be sent unchanged, for this reason; nothing was changed.
    Unsendable(&'static str),
    /// It is redriven or discarded, once the transaction is committed.
    Done(KeptDeadLetter),
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = dead_letters)]
struct Held {
    topic: String,
    message_key: Option<Vec<u8>>,
    headers: String,
    body: Vec<u8>,
    state: DeadLetterState,
    event_id: Option<String>,
}

/// Publishes a dead letter again, to its own topic with its own key, headers and body, in a transaction of
/// [`Relay::commit`](crate::Relay::commit). If a consumer still cannot apply it, it becomes a new dead letter.
pub fn redrive(
    connection: &mut Connection,
    publications: &mut Publications,
    id: i64,
    action: &DeadLetterAction,
) -> Result<Disposition> {
    let Some(held) = hold(connection, id)? else { return Ok(Disposition::Unknown) };
    if held.state != DeadLetterState::Waiting {
        return already_ended(connection, id);
    }
    let message = match original_message(held, id) {
        Ok(message) if publications.carries(&message) => message,
        Ok(_) => return Ok(Disposition::Unsendable("it is larger than the setting kafka.max_message_bytes allows")),
        Err(why) => return Ok(Disposition::Unsendable(why)),
    };
    publications.publish([message]);
    end(connection, id, DeadLetterState::Redriven, action, publications.now_us())
}

/// Discards a dead letter, inside the caller's transaction: it is kept and never sent again.
pub fn discard(connection: &mut Connection, id: i64, action: &DeadLetterAction, now_us: i64) -> Result<Disposition> {
    match hold(connection, id)? {
        None => Ok(Disposition::Unknown),
        Some(held) if held.state != DeadLetterState::Waiting => already_ended(connection, id),
        Some(_) => end(connection, id, DeadLetterState::Discarded, action, now_us),
    }
}

/// Reads a dead letter, and locks it until the transaction ends.
fn hold(connection: &mut Connection, id: i64) -> Result<Option<Held>> {
    let mut found: Vec<Held> =
        load_for_update!(connection, dead_letters::table.filter(dead_letters::id.eq(id)).select(Held::as_select()))?;
    Ok(found.pop())
}

fn already_ended(connection: &mut Connection, id: i64) -> Result<Disposition> {
    Ok(find(connection, id)?.map_or(Disposition::Unknown, |(dead_letter, _)| Disposition::AlreadyEnded(dead_letter)))
}

fn end(
    connection: &mut Connection,
    id: i64,
    state: DeadLetterState,
    action: &DeadLetterAction,
    now_us: i64,
) -> Result<Disposition> {
    on_each_backend!(connection, |c| {
        diesel::update(dead_letters::table.find(id))
            .set((
                dead_letters::state.eq(state),
                dead_letters::ended_at_us.eq(now_us),
                dead_letters::ended_reason.eq(&action.reason),
                dead_letters::ended_by.eq(&action.operator),
                dead_letters::ended_from.eq(&action.client),
            ))
            .execute(c)
    })?;
    Ok(find(connection, id)?.map_or(Disposition::Unknown, |(dead_letter, _)| Disposition::Done(dead_letter)))
}

/// The message as it was consumed, or why the outbox, whose columns are text, cannot hold it byte for byte.
fn original_message(held: Held, id: i64) -> std::result::Result<OutgoingMessage, &'static str> {
    let key = held.message_key.ok_or("it has no key")?;
    let key = text(key).ok_or("its key is not text in UTF-8")?;
    let body = text(held.body).ok_or("its body is not text in UTF-8")?;
    // The dead letter has this character in place of each byte that was not UTF-8.
    if held.headers.contains(char::REPLACEMENT_CHARACTER) {
        return Err("a header of it is not text in UTF-8");
    }
    let headers: Vec<(String, String)> =
        serde_json::from_str(&held.headers).map_err(|_| "its headers cannot be read")?;
    let in_headers = headers.iter().find(|(name, _)| name == "ce_id").map(|(_, value)| value.clone());
    let event_id = held
        .event_id
        .or(in_headers)
        .filter(|value| !value.contains('\0'))
        .unwrap_or_else(|| format!("dead letter {id}"));
    Ok(OutgoingMessage { event_id, topic: held.topic, key, headers, body })
}

/// The bytes as text that both databases can hold: PostgreSQL allows no NUL in text.
fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}
