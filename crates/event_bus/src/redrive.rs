//! How a dead letter ends: an operator sends it out again, as it came and by the one way out, or discards it. Once.
//!
//! Nothing is deleted: the letter stays, and says what became of it, when, why and by whom.

use crate::dead_letters::{self, DeadLetterState, KeptDeadLetter};
use crate::schema::dead_letters as letters;
use crate::{OutgoingMessage, Publications};
use diesel::prelude::*;
use dual_db::{Connection, Result, load_for_update, on_each_backend};

/// What an operator says of what they do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterAction {
    /// Why.
    pub reason: Option<String>,
    /// Who, in their own words.
    pub operator: Option<String>,
    /// The address it came from.
    pub client: String,
}

/// What became of an operator's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// There is no such letter.
    Unknown,
    /// It had ended before; nothing was changed.
    Before(KeptDeadLetter),
    /// It cannot be sent as it came, for this reason; nothing was changed.
    Unsendable(&'static str),
    /// It is done, once the transaction is committed.
    Done(KeptDeadLetter),
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = letters)]
struct Held {
    topic: String,
    message_key: Option<Vec<u8>>,
    headers: String,
    body: Vec<u8>,
    state: String,
    event_id: Option<String>,
}

/// Publishes a letter again, to its own topic with its own key, headers and body, in a transaction of
/// [`Relay::commit`](crate::Relay::commit). If it still cannot be applied, it becomes a new letter.
pub fn redrive(
    connection: &mut Connection,
    publications: &mut Publications,
    id: i64,
    act: &DeadLetterAction,
) -> Result<Disposition> {
    let Some(held) = hold(connection, id)? else { return Ok(Disposition::Unknown) };
    if held.state != DeadLetterState::Waiting.name() {
        return before(connection, id);
    }
    let message = match as_it_came(held, id) {
        Ok(message) if publications.carries(&message) => message,
        Ok(_) => return Ok(Disposition::Unsendable("it is larger than the setting kafka.max_message_bytes allows")),
        Err(why) => return Ok(Disposition::Unsendable(why)),
    };
    publications.publish([message]);
    end(connection, id, DeadLetterState::Redriven, act, publications.now_us())
}

/// Discards a letter, inside the caller's transaction: it is kept and never sent again.
pub fn discard(connection: &mut Connection, id: i64, act: &DeadLetterAction, now_us: i64) -> Result<Disposition> {
    match hold(connection, id)? {
        None => Ok(Disposition::Unknown),
        Some(held) if held.state != DeadLetterState::Waiting.name() => before(connection, id),
        Some(_) => end(connection, id, DeadLetterState::Discarded, act, now_us),
    }
}

/// Reads a letter, and holds it until the transaction ends.
fn hold(connection: &mut Connection, id: i64) -> Result<Option<Held>> {
    let mut found: Vec<Held> =
        load_for_update!(connection, letters::table.filter(letters::id.eq(id)).select(Held::as_select()))?;
    Ok(found.pop())
}

fn before(connection: &mut Connection, id: i64) -> Result<Disposition> {
    Ok(dead_letters::find(connection, id)?.map_or(Disposition::Unknown, |(letter, _)| Disposition::Before(letter)))
}

fn end(
    connection: &mut Connection,
    id: i64,
    state: DeadLetterState,
    act: &DeadLetterAction,
    now_us: i64,
) -> Result<Disposition> {
    on_each_backend!(connection, |c| {
        diesel::update(letters::table.find(id))
            .set((
                letters::state.eq(state.name()),
                letters::ended_at_us.eq(now_us),
                letters::ended_reason.eq(&act.reason),
                letters::ended_by.eq(&act.operator),
                letters::ended_from.eq(&act.client),
            ))
            .execute(c)
    })?;
    Ok(dead_letters::find(connection, id)?.map_or(Disposition::Unknown, |(letter, _)| Disposition::Done(letter)))
}

/// The message that came, if the outbox, which holds texts, can hold it to the byte.
fn as_it_came(held: Held, id: i64) -> std::result::Result<OutgoingMessage, &'static str> {
    let key = held.message_key.ok_or("it has no key")?;
    let key = text(key).ok_or("its key is not text in UTF-8")?;
    let body = text(held.body).ok_or("its body is not text in UTF-8")?;
    // A value that was no text was set aside with this in place of what could not be read.
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

/// Text that both databases hold: PostgreSQL has no NUL in one.
fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}
