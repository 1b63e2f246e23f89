//! `GET /v1/payments`: payments by state, newest first, so that what is stuck can be found.

use crate::domain::saga::PaymentState;
use crate::queries::{ListFilter, Listed, list_payments};
use actix_web::{HttpResponse, web};
use claim_events::Cents;
use claim_events::rfc3339;
use serde::{Deserialize, Serialize};
use service_runtime::api::{Money, Time};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::page::{self, Cursors};
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use text_enum::UnknownText;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 50;
const CURSORS: Cursors = Cursors::of("payments");
const MOST: i64 = 500;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Payments in this state: `unverified`, `working`, `unwinding`, `settled` or `unwound`; or `stuck`, which is any of the first three
    /// without progress.
    #[param(inline, value_type = Option<PaymentState>)]
    state: Option<String>,
    /// How many payments a page has: 1 to 500, by default 50.
    #[param(minimum = 1, maximum = 500, example = 50)]
    limit: Option<i64>,
    /// Where the page begins: the `next_cursor` of the page before, with the same state.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PaymentPage)]
pub(super) struct Page {
    payments: Vec<PaymentLine>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct PaymentLine {
    claim_id: String,
    state: PaymentState,
    #[schema(value_type = Money)]
    amount: String,
    stuck_reason: Option<String>,
    #[schema(value_type = Option<Time>)]
    next_attempt_at: Option<String>,
    #[schema(value_type = Time)]
    started_at: String,
    #[schema(value_type = Time)]
    updated_at: String,
}

/// Payments, newest first.
///
/// All, or those in one state, a page at a time.
#[utoipa::path(get, path = "/v1/payments", tag = "payments", operation_id = "list_payments", params(ListQuery),
    responses((status = 200, description = "A page of payments.", body = Page)))]
pub(super) async fn list(query: Query<ListQuery>, database: web::Data<DatabaseGate>) -> Result<HttpResponse, Problem> {
    let ListQuery { state, limit, cursor } = query.0;
    let limit = page::limit(limit, DEFAULT_LIMIT, MOST)?;
    let unknown = |error: UnknownText| Problem::malformed(format!("state must be one of {}", error.known().join(", ")));
    let state = state.as_deref().map(str::parse).transpose().map_err(unknown)?;
    let filter = ListFilter { state, before: CURSORS.read(cursor.as_deref())? };
    // One more than the limit shows whether there is a next page.
    let mut found = database.run(move |database| list_payments(database, &filter, limit + 1)).await?;
    let next_cursor = page::cut(&mut found, limit, |last| CURSORS.write(&last.id));
    Ok(HttpResponse::Ok().json(Page { payments: found.into_iter().map(PaymentLine::from).collect(), next_cursor }))
}

impl From<Listed> for PaymentLine {
    fn from(listed: Listed) -> Self {
        Self {
            claim_id: listed.claim_id,
            state: PaymentState::of(listed.state, listed.stuck_reason.is_some()),
            amount: Cents(listed.amount_cents).to_string(),
            stuck_reason: listed.stuck_reason,
            next_attempt_at: listed.next_attempt_at_us.map(rfc3339),
            started_at: rfc3339(listed.started_at_us),
            updated_at: rfc3339(listed.updated_at_us),
        }
    }
}
