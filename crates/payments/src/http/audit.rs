//! `GET /v1/ledger/audit`: debits and credits overall and claim by claim, and every claim whose money is not where its
//! saga requires it. Computed in the database.

use crate::domain::saga::State;
use crate::queries::{self, Audit, ClaimBooks, Turnover};
use actix_web::{HttpResponse, web};
use claim_events::Cents;
use serde::{Deserialize, Serialize};
use service_runtime::api::Money;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::page::{self, Cursors};
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 100;
const CURSORS: Cursors = Cursors::of("audit");
const MOST: i64 = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// How many claims `claims` has: 1 to 1000, by default 100.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<i64>,
    /// Where `claims` begins: the `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AuditAnswer {
    balanced: bool,
    #[schema(value_type = Money)]
    debits: String,
    #[schema(value_type = Money)]
    credits: String,
    /// Money out less money back: what the gateway's own book must show.
    #[schema(value_type = Money)]
    cash_out: String,
    cash_out_cents: i64,
    accounts: Vec<AccountAnswer>,
    payments: BTreeMap<&'static str, i64>,
    off: Vec<BooksAnswer>,
    claims: Vec<BooksAnswer>,
    /// Where the next page of `claims` begins; null on the last one.
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct AccountAnswer {
    account: String,
    #[schema(value_type = Money)]
    debits: String,
    #[schema(value_type = Money)]
    credits: String,
}

#[derive(Serialize, ToSchema)]
struct BooksAnswer {
    claim_id: String,
    #[schema(value_type = String)]
    state: State,
    #[schema(value_type = Money)]
    amount: String,
    #[schema(value_type = Money)]
    debits: String,
    #[schema(value_type = Money)]
    credits: String,
    #[schema(value_type = Money)]
    cash_out: String,
    #[schema(value_type = Money)]
    payable: String,
    #[schema(value_type = Money)]
    pending: String,
}

/// Debits and credits, overall and claim by claim.
///
/// `off` lists the claims whose money is not where their state requires it, at most 1000.
#[utoipa::path(get, path = "/v1/ledger/audit", tag = "ledger", operation_id = "audit", params(AuditQuery),
    responses((status = 200, description = "The audit.", body = AuditAnswer)))]
pub(super) async fn audit(
    query: Query<AuditQuery>,
    database: web::Data<DatabaseGate>,
) -> Result<HttpResponse, Problem> {
    let AuditQuery { limit, cursor } = query.0;
    let limit = page::limit(limit, DEFAULT_LIMIT, MOST)?;
    let after: String = CURSORS.read(cursor.as_deref())?.unwrap_or_default();
    let found = database.for_reports().run(move |database| queries::audit(database, MOST, &after, limit + 1)).await?;
    let Audit { turnovers, payments, off, mut claims } = found;
    let debits: i64 = turnovers.iter().map(|turnover| turnover.debits_cents).sum();
    let credits: i64 = turnovers.iter().map(|turnover| turnover.credits_cents).sum();
    let cash = turnovers.iter().find(|turnover| turnover.account == "cash");
    let cash_out_cents = cash.map_or(0, |cash| cash.credits_cents - cash.debits_cents);
    let next_cursor = page::cut(&mut claims, limit, |books| CURSORS.write(&books.claim_id));
    Ok(HttpResponse::Ok().json(AuditAnswer {
        balanced: debits == credits && off.is_empty(),
        debits: Cents(debits).to_string(),
        credits: Cents(credits).to_string(),
        cash_out: Cents(cash_out_cents).to_string(),
        cash_out_cents,
        accounts: turnovers.into_iter().map(AccountAnswer::from).collect(),
        payments: payments.into_iter().map(|(state, count)| (state.as_str(), count)).collect(),
        off: off.into_iter().map(BooksAnswer::from).collect(),
        claims: claims.into_iter().map(BooksAnswer::from).collect(),
        next_cursor,
    }))
}

impl From<Turnover> for AccountAnswer {
    fn from(turnover: Turnover) -> Self {
        Self {
            account: turnover.account,
            debits: Cents(turnover.debits_cents).to_string(),
            credits: Cents(turnover.credits_cents).to_string(),
        }
    }
}

impl From<ClaimBooks> for BooksAnswer {
    fn from(books: ClaimBooks) -> Self {
        Self {
            claim_id: books.claim_id,
            state: books.state,
            amount: Cents(books.amount_cents).to_string(),
            debits: Cents(books.debits_cents).to_string(),
            credits: Cents(books.credits_cents).to_string(),
            cash_out: Cents(books.cash_out_cents).to_string(),
            payable: Cents(books.payable_cents).to_string(),
            pending: Cents(books.pending_cents).to_string(),
        }
    }
}
