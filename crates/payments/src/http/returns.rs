//! `GET /v1/returns`: returns that the gateway reported and that could not be booked yet.

use crate::queries::{GatewayReturn, waiting_returns};
use actix_web::{HttpResponse, web};
use claim_events::Cents;
use claim_events::rfc3339;
use serde::{Deserialize, Serialize};
use service_runtime::api::{Money, Time};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::page::{self, Cursors};
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 50;
const CURSORS: Cursors = Cursors::of("returns");
const MOST: i64 = 500;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReturnsQuery {
    /// How many returns a page has: 1 to 500, by default 50.
    #[param(minimum = 1, maximum = 500, example = 50)]
    limit: Option<i64>,
    /// Where the page begins: the `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReturnPage)]
pub(super) struct Page {
    returns: Vec<ReturnLine>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ReturnLine {
    /// The gateway's id of the event that reported it.
    event_id: String,
    claim_id: String,
    #[schema(value_type = Money)]
    amount: String,
    #[schema(value_type = Time)]
    received_at: String,
}

/// Returns that wait.
///
/// Those whose payment is not known yet, and those that cannot belong to their payment: of another amount, or of a payment that
/// was declined or refunded. In the order of their ids.
#[utoipa::path(get, path = "/v1/returns", tag = "gateway", operation_id = "list_waiting_returns", params(ReturnsQuery),
    responses((status = 200, description = "A page of returns.", body = Page)))]
pub(super) async fn list(
    query: Query<ReturnsQuery>,
    database: web::Data<DatabaseGate>,
) -> Result<HttpResponse, Problem> {
    let ReturnsQuery { limit, cursor } = query.0;
    let limit = page::limit(limit, DEFAULT_LIMIT, MOST)?;
    let after: String = CURSORS.read(cursor.as_deref())?.unwrap_or_default();
    // One more than the limit shows whether there is a next page.
    let mut found = database.run(move |database| waiting_returns(database, &after, limit + 1)).await?;
    let next_cursor = page::cut(&mut found, limit, |last| CURSORS.write(&last.event_id));
    Ok(HttpResponse::Ok().json(Page { returns: found.into_iter().map(ReturnLine::from).collect(), next_cursor }))
}

impl From<GatewayReturn> for ReturnLine {
    fn from(kept: GatewayReturn) -> Self {
        Self {
            event_id: kept.event_id,
            claim_id: kept.claim_id,
            amount: Cents(kept.amount_cents).to_string(),
            received_at: rfc3339(kept.received_at_us),
        }
    }
}
