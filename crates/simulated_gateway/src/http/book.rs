//! The routes of the book, for checking that the payer's books agree with it.

use super::gate::Gate;
use super::input::reference_of_query;
use super::payments::ByReference;
use super::problems;
use crate::db::{self, MOST_ROWS};
use crate::domain::book::{ClaimTotals, Entry};
use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use service_runtime::page::{self, Cursors};
use service_runtime::problem::Problem;

/// `GET /book?reference=`
pub(super) async fn entries(query: Query<ByReference>, gate: Data<Gate>) -> Result<HttpResponse, Problem> {
    let reference = reference_of_query(query.reference.as_deref())?;
    let (entries, totals) =
        gate.run(move |database| database.read(|c| db::book::entries(c, reference.as_str()))).await?;
    let entries: Vec<Value> = entries.iter().map(shown_entry).collect();
    Ok(HttpResponse::Ok().json(json!({
        "entries": entries,
        "money_out_cents": totals.money_out_cents,
        "money_back_cents": totals.money_back_cents,
    })))
}

fn shown_entry(entry: &Entry) -> Value {
    json!({
        "at": Timestamp::from_microsecond(entry.at_us).map(|at| format!("{at:.6}")).ok(),
        "kind": entry.kind.name(),
        "reference": entry.reference,
        "amount_cents": entry.amount_cents,
    })
}

/// `GET /book/summary`
pub(super) async fn summary(gate: Data<Gate>) -> Result<HttpResponse, Problem> {
    let summary = gate.run(|database| database.read(db::book::summary)).await?;
    Ok(HttpResponse::Ok().json(json!({
        "payments": summary.payments,
        "refunds": summary.refunds,
        "claims": summary.claims,
        "money_out_cents": summary.totals.money_out_cents,
        "money_back_cents": summary.totals.money_back_cents,
        "net_cents": summary.totals.money_out_cents - summary.totals.money_back_cents,
    })))
}

const CURSORS: Cursors = Cursors::of("book");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    cursor: Option<String>,
    limit: Option<String>,
}

/// `GET /book/claims?cursor=&limit=`
pub(super) async fn claims(query: Query<Page>, gate: Data<Gate>) -> Result<HttpResponse, Problem> {
    let Page { cursor, limit } = query.into_inner();
    let limit = match limit.as_deref().map_or(Ok(MOST_ROWS), str::parse) {
        Ok(limit) if (1..=MOST_ROWS).contains(&limit) => limit,
        _ => {
            return Err(problems::invalid(vec![json!({
                "field": "limit",
                "code": "wrong",
                "message": format!("must be a whole number from 1 to {MOST_ROWS}"),
            })]));
        }
    };
    let after: String = CURSORS.read(cursor.as_deref())?.unwrap_or_default();
    // One more than the limit shows whether there is a next page.
    let mut claims = gate.run(move |database| database.read(|c| db::book::claims(c, &after, limit + 1))).await?;
    let next_cursor = page::cut(&mut claims, limit, |claim| CURSORS.write(&claim.reference));
    let claims: Vec<Value> = claims.iter().map(shown_claim).collect();
    Ok(HttpResponse::Ok().json(json!({ "claims": claims, "next_cursor": next_cursor })))
}

fn shown_claim(claim: &ClaimTotals) -> Value {
    json!({
        "reference": claim.reference,
        "payments": claim.payments,
        "money_out_cents": claim.totals.money_out_cents,
        "money_back_cents": claim.totals.money_back_cents,
    })
}
