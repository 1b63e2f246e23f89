//! `GET /v1/dead-letters`: dead letters without the bodies of their messages, newest first, and how each has ended.

use crate::masked;
use crate::operations::DeadLetterOperations;
use actix_web::{HttpResponse, web};
use claim_events::rfc3339;
use event_bus::{DeadLetterState, KeptDeadLetter};
use serde::{Deserialize, Serialize};
use service_runtime::api::{Time, one_of};
use service_runtime::page::{self, Cursors};
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use std::borrow::Cow;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

const DEFAULT_LIMIT: i64 = 50;
const CURSORS: Cursors = Cursors::of("dead_letters");
const MOST: i64 = 500;
/// Not a state: dead letters in any of them.
const ALL: &str = "all";

/// The schema of a dead letter's state: the names of [`DeadLetterState`]. There are no values of this type.
enum StateName {}

impl ToSchema for StateName {
    fn name() -> Cow<'static, str> {
        "DeadLetterState".into()
    }
}

impl PartialSchema for StateName {
    fn schema() -> RefOr<Schema> {
        let mut names = one_of(state_names());
        names.description = Some("The state of a dead letter.".to_owned());
        names.into()
    }
}

const IN: &str = "in";
const OUT: &str = "out";

/// The schema of a dead letter's direction. There are no values of this type.
enum Direction {}

impl ToSchema for Direction {
    fn name() -> Cow<'static, str> {
        "DeadLetterDirection".into()
    }
}

impl PartialSchema for Direction {
    fn schema() -> RefOr<Schema> {
        one_of([IN, OUT]).into()
    }
}

/// The schema of what `state` may be in the query. There are no values of this type.
enum FilterName {}

impl ToSchema for FilterName {}

impl PartialSchema for FilterName {
    fn schema() -> RefOr<Schema> {
        one_of(state_names().chain([ALL])).into()
    }
}

fn state_names() -> impl Iterator<Item = &'static str> {
    DeadLetterState::ALL.into_iter().map(DeadLetterState::as_str)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Dead letters in this state: waiting (for an operator), redriven or discarded; or all. By default those that wait.
    #[param(inline, value_type = Option<FilterName>)]
    state: Option<String>,
    /// How many dead letters a page has: 1 to 500, by default 50.
    #[param(minimum = 1, maximum = 500, example = 50)]
    limit: Option<i64>,
    /// Where the page begins: the `next_cursor` of the page before, with the same state.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(crate) struct Page {
    dead_letters: Vec<DeadLetterResponse>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// A message that could not be applied, and how it has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(crate) struct DeadLetterResponse {
    id: i64,
    #[schema(value_type = StateName)]
    state: DeadLetterState,
    /// Why it became a dead letter.
    reason: String,
    topic: String,
    /// `in`: a message that could not be applied. `out`: an event of this service that could not be published.
    #[schema(value_type = Direction)]
    direction: &'static str,
    /// -1 for an event of this service that could not be published.
    partition: i64,
    /// Of an event that could not be published: its number in the outbox.
    offset: i64,
    /// The id of an event of this service that could not be published.
    event_id: Option<String>,
    /// When the message was published.
    #[schema(value_type = Option<Time>)]
    sent_at: Option<String>,
    #[schema(value_type = Time)]
    received_at: String,
    /// The key where it is a claim's id, or else its size.
    key: Option<String>,
    /// Pairs of name and value. The values of headers that the contract does not define are replaced by their size.
    #[schema(value_type = Vec<Vec<String>>)]
    headers: Vec<(String, String)>,
    body_bytes: i32,
    /// When it was redriven or discarded.
    #[schema(value_type = Option<Time>)]
    ended_at: Option<String>,
    /// The operator's reason.
    ended_reason: Option<String>,
    /// Who did it, as they call themselves.
    ended_by: Option<String>,
    /// The address of the client.
    ended_from: Option<String>,
}

/// Dead letters, newest first.
///
/// With the reason of each, and without the bodies of their messages. By default those that wait for an operator.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters", operation_id = "list_dead_letters", params(ListQuery),
    responses((status = 200, description = "A page of dead letters.", body = Page)))]
pub(crate) async fn list(
    query: Query<ListQuery>,
    operations: web::Data<DeadLetterOperations>,
) -> Result<HttpResponse, Problem> {
    let ListQuery { state, limit, cursor } = query.0;
    let limit = page::limit(limit, DEFAULT_LIMIT, MOST)?;
    let state = read_state(state.as_deref())?;
    let before = CURSORS.read(cursor.as_deref())?;
    let mut found = operations
        .database
        .read(move |connection| event_bus::list_dead_letters(connection, state, before, limit + 1))
        .await?;
    let next_cursor = page::cut(&mut found, limit, |last| CURSORS.write(&last.id));
    let dead_letters = found.into_iter().map(DeadLetterResponse::from).collect();
    Ok(HttpResponse::Ok().json(Page { dead_letters, next_cursor }))
}

fn read_state(name: Option<&str>) -> Result<Option<DeadLetterState>, Problem> {
    let Some(name) = name else { return Ok(Some(DeadLetterState::Waiting)) };
    let found = name.parse().ok();
    if found.is_none() && name != ALL {
        let names: Vec<&str> = state_names().chain([ALL]).collect();
        return Err(Problem::malformed(format!("state must be one of {}", names.join(", "))));
    }
    Ok(found)
}

impl From<KeptDeadLetter> for DeadLetterResponse {
    fn from(kept: KeptDeadLetter) -> Self {
        let headers: Vec<(String, String)> = serde_json::from_str(&kept.headers).unwrap_or_default();
        Self {
            id: kept.id,
            state: kept.state,
            reason: kept.reason,
            direction: if kept.event_id.is_some() { OUT } else { IN },
            topic: kept.topic,
            partition: kept.partition,
            offset: kept.message_offset,
            event_id: kept.event_id,
            sent_at: (kept.message_time_ms > 0).then(|| rfc3339(kept.message_time_ms.saturating_mul(1_000))),
            received_at: rfc3339(kept.received_at_us),
            key: kept.message_key.as_deref().map(masked::key),
            headers: headers.iter().map(|(name, value)| masked::header(name, value)).collect(),
            body_bytes: kept.body_bytes,
            ended_at: kept.ended_at_us.map(rfc3339),
            ended_reason: kept.ended_reason,
            ended_by: kept.ended_by,
            ended_from: kept.ended_from,
        }
    }
}
