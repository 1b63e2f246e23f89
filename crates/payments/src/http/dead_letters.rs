//! `GET /v1/dead-letters`: messages that could not be applied, without their bodies, newest first.

use actix_web::{HttpResponse, web};
use claim_events::rfc3339;
use serde::{Deserialize, Serialize};
use service_runtime::api::Time;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::page;
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 50;
const MOST: i64 = 500;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// How many messages a page has: 1 to 500; 50 where it is not said.
    #[param(minimum = 1, maximum = 500, example = 50)]
    limit: Option<i64>,
    /// Where the page begins: the `next_cursor` of the page before.
    cursor: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(super) struct Page {
    dead_letters: Vec<DeadLetterAnswer>,
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct DeadLetterAnswer {
    id: i64,
    reason: String,
    topic: String,
    partition: i64,
    offset: i64,
    /// The message's own time.
    #[schema(value_type = Option<Time>)]
    sent_at: Option<String>,
    #[schema(value_type = Time)]
    received_at: String,
    /// The key as text, where it is text; a claim's id.
    key: Option<String>,
    /// Pairs of name and value.
    #[schema(value_type = Vec<Vec<String>>)]
    headers: Vec<(String, String)>,
    body_bytes: i32,
}

/// Messages that were set aside, newest first.
///
/// With the reason, and without their bodies.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters", operation_id = "list_dead_letters", params(ListQuery),
    responses((status = 200, description = "A page of messages.", body = Page)))]
pub(super) async fn list(query: Query<ListQuery>, database: web::Data<DatabaseGate>) -> Result<HttpResponse, Problem> {
    let ListQuery { limit, cursor } = query.0;
    let limit = page::limit(limit, DEFAULT_LIMIT, MOST)?;
    let mut found =
        database.read(move |connection| event_bus::list_dead_letters(connection, cursor, limit + 1)).await?;
    let more = page::cut(&mut found, limit);
    let next_cursor = found.last().filter(|_| more).map(|last| last.id.to_string());
    let dead_letters = found
        .into_iter()
        .map(|kept| DeadLetterAnswer {
            id: kept.id,
            reason: kept.reason,
            topic: kept.topic,
            partition: kept.partition,
            offset: kept.message_offset,
            sent_at: (kept.message_time_ms > 0).then(|| rfc3339(kept.message_time_ms.saturating_mul(1_000))),
            received_at: rfc3339(kept.received_at_us),
            key: kept.message_key.and_then(|key| String::from_utf8(key).ok()),
            headers: serde_json::from_str(&kept.headers).unwrap_or_default(),
            body_bytes: kept.body_bytes,
        })
        .collect();
    Ok(HttpResponse::Ok().json(Page { dead_letters, next_cursor }))
}
