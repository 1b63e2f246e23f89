//! `GET /v1/ledger/balances`: the balance of each account, computed in the database.

use crate::queries::{Balance, balances};
use actix_web::{HttpResponse, web};
use claim_events::Cents;
use serde::{Deserialize, Serialize};
use service_runtime::api::Money;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::page::{self, Cursors};
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 100;
const CURSORS: Cursors = Cursors::of("balances");
const MOST: i64 = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BalancesQuery {
    /// How many accounts a page has: 1 to 1000, by default 100.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<i64>,
    /// Where the page begins: the `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BalancePage)]
pub(super) struct Page {
    balances: Vec<BalanceAnswer>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct BalanceAnswer {
    account: String,
    #[schema(value_type = Money)]
    debits: String,
    #[schema(value_type = Money)]
    credits: String,
    /// Credits less debits.
    #[schema(value_type = Money)]
    balance: String,
    /// What is reserved to be credited, and not posted or voided yet.
    #[schema(value_type = Money)]
    pending: String,
}

/// Balances of the ledger's accounts.
///
/// In the order of the accounts' names, a page at a time.
#[utoipa::path(get, path = "/v1/ledger/balances", tag = "ledger", operation_id = "list_balances", params(BalancesQuery),
    responses((status = 200, description = "A page of accounts.", body = Page)))]
pub(super) async fn list(
    query: Query<BalancesQuery>,
    database: web::Data<DatabaseGate>,
) -> Result<HttpResponse, Problem> {
    let BalancesQuery { limit, cursor } = query.0;
    let limit = page::limit(limit, DEFAULT_LIMIT, MOST)?;
    let after: String = CURSORS.read(cursor.as_deref())?.unwrap_or_default();
    let mut found = database.run(move |database| balances(database, &after, limit + 1)).await?;
    let next_cursor = page::cut(&mut found, limit, |balance| CURSORS.write(&balance.account));
    Ok(HttpResponse::Ok().json(Page { balances: found.into_iter().map(BalanceAnswer::from).collect(), next_cursor }))
}

impl From<Balance> for BalanceAnswer {
    fn from(balance: Balance) -> Self {
        Self {
            account: balance.account,
            debits: Cents(balance.debits_cents).to_string(),
            credits: Cents(balance.credits_cents).to_string(),
            balance: Cents(balance.credits_cents - balance.debits_cents).to_string(),
            pending: Cents(balance.pending_cents).to_string(),
        }
    }
}
