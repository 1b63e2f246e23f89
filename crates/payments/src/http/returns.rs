//! `GET /v1/returns`: what the gateway reported of money that came back, or failed to, and that could not be booked yet.
//! `POST /v1/returns/{id}/resolve`: an operator closes what cannot be placed.

use super::PaymentOperations;
use crate::executor::operator::Actor;
use crate::executor::returns::ResolveOutcome;
use crate::queries::{GatewayReturn, WaitingReturn, waiting_returns};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use claim_events::Cents;
use claim_events::rfc3339;
use operator_api::{OperatorAction, ReasonedBody};
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
    returns: Vec<WaitingLine>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct WaitingLine {
    #[serde(flatten)]
    line: ReturnLine,
    /// Of a part: what is missing until the parts that wait are a full return, which is booked then.
    #[schema(value_type = Option<Money>)]
    missing: Option<String>,
}

/// What the gateway reported.
#[derive(Serialize, ToSchema)]
pub(super) struct ReturnLine {
    /// The gateway's id of the event that reported it. Where it had been used for something else, one of our own, which begins
    /// with it.
    event_id: String,
    /// `payment.returned` or `refund.failed`.
    #[serde(rename = "type")]
    kind: String,
    claim_id: String,
    #[schema(value_type = Money)]
    amount: String,
    /// Whether the gateway's id of it is that of another event. It is never booked by itself.
    ambiguous: bool,
    #[schema(value_type = Time)]
    received_at: String,
    /// When an operator resolved it.
    #[schema(value_type = Option<Time>)]
    resolved_at: Option<String>,
}

/// Returns that wait.
///
/// Those whose payment is not known yet, parts of one whose other parts are missing, and those that cannot belong to their
/// payment: of more than was paid, or of a payment that was declined or refunded. Also refunds that failed and were never
/// requested, as far as is known. In the order of their ids.
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
    let next_cursor = page::cut(&mut found, limit, |last| CURSORS.write(&last.reported.event_id));
    Ok(HttpResponse::Ok().json(Page { returns: found.into_iter().map(WaitingLine::from).collect(), next_cursor }))
}

/// Close a return that cannot be placed.
///
/// For an operator who has found out, with the gateway, what became of the money. Nothing is booked by it. It leaves the list of
/// those that wait, and what waits beside it is placed without it. The reason is kept with the claim's payment.
#[utoipa::path(post, path = "/v1/returns/{id}/resolve", tag = "gateway", operation_id = "resolve_return",
    params(("id" = String, Path, description = "The `event_id` of the return.", example = "evt-1")),
    request_body(content = ReasonedBody, example = json!({"reason": "the gateway sent it twice, says its help desk",
        "operator": "A. Smith"})),
    responses(
        (status = 200, description = "It is resolved, now or before.", body = ReturnLine),
        (status = 404, description = "There is no return with this id."),
        (status = 409, description = "It is booked: nothing is left to resolve."),
        (status = 422, description = "The reason is missing, or it or the operator is too long; `errors` names the field.")))]
pub(super) async fn resolve(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    operations: web::Data<PaymentOperations>,
) -> Result<HttpResponse, Problem> {
    let (sent, ReasonedBody { .. }) = operations.operators.read(&request, payload).await?;
    let OperatorAction { reason, operator, client } = sent;
    let actor = Actor { reason, operator, client };
    let unknown = || Problem::not_found("there is no return with this id");
    let id = id.into_inner();
    // PostgreSQL refuses a NUL in a text.
    if id.contains('\0') {
        return Err(unknown());
    }
    let executor = operations.executor.clone();
    match operations.database.run(move |_| executor.resolve_return(&id, &actor)).await? {
        ResolveOutcome::Resolved(resolved, calls) => {
            operations.dispatcher.dispatch(calls);
            Ok(HttpResponse::Ok().json(ReturnLine::from(resolved)))
        }
        ResolveOutcome::Unknown => Err(unknown()),
        ResolveOutcome::Applied => Err(Problem::new(
            StatusCode::CONFLICT,
            "return-booked",
            "The return is booked",
            "it belongs to its payment and is booked: nothing is left to resolve",
        )),
    }
}

impl From<WaitingReturn> for WaitingLine {
    fn from(WaitingReturn { reported, missing_cents }: WaitingReturn) -> Self {
        Self { line: reported.into(), missing: missing_cents.map(|cents| Cents(cents).to_string()) }
    }
}

impl From<GatewayReturn> for ReturnLine {
    fn from(kept: GatewayReturn) -> Self {
        Self {
            event_id: kept.event_id,
            kind: kept.kind,
            claim_id: kept.claim_id,
            amount: Cents(kept.amount_cents).to_string(),
            ambiguous: kept.is_ambiguous,
            received_at: rfc3339(kept.received_at_us),
            resolved_at: kept.resolved_at_us.map(rfc3339),
        }
    }
}
