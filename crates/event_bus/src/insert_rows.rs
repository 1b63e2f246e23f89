//! The statement that inserts rows into the outbox on PostgreSQL: one text for any number of rows, so that it is prepared once. A
//! service can make it a part of a statement of its own.

use crate::OutgoingMessage;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Nullable, Text};

/// `INSERT INTO outbox … RETURNING id`. The ids are in the order of the messages once they are sorted.
#[derive(Debug)]
pub struct InsertRows<'a> {
    event_ids: Vec<&'a str>,
    topics: Vec<&'a str>,
    keys: Vec<&'a str>,
    headers: Vec<Option<String>>,
    bodies: Vec<Option<&'a str>>,
    created_at_us: i64,
    send_after_us: i64,
}

impl<'a> InsertRows<'a> {
    /// Rows for messages; pointers where `are_pointers`.
    pub(crate) fn new(
        messages: impl Iterator<Item = (&'a OutgoingMessage, bool)> + Clone,
        created_at_us: i64,
        send_after_us: i64,
    ) -> Self {
        let all = || messages.clone().map(|(message, _)| message);
        Self {
            event_ids: all().map(|message| message.event_id.as_str()).collect(),
            topics: all().map(|message| message.topic.as_str()).collect(),
            keys: all().map(|message| message.key.as_str()).collect(),
            headers: messages.clone().map(|(message, pointer)| (!pointer).then(|| message.headers_as_json())).collect(),
            bodies: messages.clone().map(|(message, pointer)| (!pointer).then_some(message.body.as_str())).collect(),
            created_at_us,
            send_after_us,
        }
    }
}

impl QueryFragment<Pg> for InsertRows<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO outbox (event_id, topic, message_key, headers, body, created_at_us, send_after_us) \
             SELECT message.event_id, message.topic, message.message_key, message.headers, message.body, ",
        );
        out.push_bind_param::<BigInt, _>(&self.created_at_us)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.send_after_us)?;
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.event_ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.topics)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.keys)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.headers)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.bodies)?;
        out.push_sql(
            ") WITH ORDINALITY AS message (event_id, topic, message_key, headers, body, number) \
             ORDER BY message.number RETURNING id",
        );
        Ok(())
    }
}

impl QueryId for InsertRows<'_> {
    type QueryId = InsertRows<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for InsertRows<'_> {
    type SqlType = BigInt;
}

impl RunQueryDsl<PgConnection> for InsertRows<'_> {}
