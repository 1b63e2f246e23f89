//! The outbox of a service from outside: reads it, empties it as acknowledgements do, and adds rows as a crash leaves them.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use dual_db::{Connection, Database, on_each_backend};

/// A message in the outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, QueryableByName)]
#[allow(missing_docs)]
pub struct OutboxMessage {
    #[diesel(sql_type = Text)]
    pub event_id: String,
    #[diesel(sql_type = Text)]
    pub topic: String,
    #[diesel(sql_type = Text)]
    pub message_key: String,
    /// A JSON array of pairs.
    #[diesel(sql_type = Text)]
    pub headers: String,
    #[diesel(sql_type = Text)]
    pub body: String,
}

/// The messages in the outbox, in the order in which they were written.
///
/// # Panics
/// If the outbox cannot be read.
pub fn outbox(database: &Database) -> Vec<OutboxMessage> {
    database.read(waiting).expect("the outbox can be read")
}

/// Removes and returns the messages, as if Kafka had acknowledged them.
///
/// # Panics
/// If they cannot be removed.
pub fn take_outbox(database: &Database) -> Vec<OutboxMessage> {
    let taken = database.write(|connection| {
        let messages = waiting(connection)?;
        crate::execute(connection, "DELETE FROM outbox")?;
        Ok(messages)
    });
    taken.expect("the outbox can be emptied")
}

fn waiting(connection: &mut Connection) -> dual_db::Result<Vec<OutboxMessage>> {
    let query = "SELECT event_id, topic, message_key, COALESCE(headers, '[]') AS headers, COALESCE(body, '') AS body \
                 FROM outbox ORDER BY id";
    Ok(on_each_backend!(connection, |c| sql_query(query).load(c))?)
}

/// Adds a message to the outbox without handing it to a producer, as a crash right after the commit does. The sweeper may send it
/// from `send_after_us` on.
///
/// # Errors
/// The error of the database.
pub fn leave_in_outbox(
    connection: &mut Connection,
    message: &OutboxMessage,
    send_after_us: i64,
) -> dual_db::Result<()> {
    let insert = "INSERT INTO outbox (event_id, topic, message_key, headers, body, created_at_us, send_after_us) \
                  VALUES ($1, $2, $3, $4, $5, 1, $6)";
    on_each_backend!(connection, |c| {
        sql_query(insert)
            .bind::<Text, _>(&message.event_id)
            .bind::<Text, _>(&message.topic)
            .bind::<Text, _>(&message.message_key)
            .bind::<Text, _>(&message.headers)
            .bind::<Text, _>(&message.body)
            .bind::<BigInt, _>(send_after_us)
            .execute(c)
    })?;
    Ok(())
}
