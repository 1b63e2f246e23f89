//! `GET /v1/claims/{id}` and `GET /v1/claims`.

use super::Api;
use super::answer::ClaimAnswer;
use crate::db::claims::{self, ListFilter};
use crate::domain::identifiers::{ClaimId, Npi};
use crate::domain::transition::Status;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use service_runtime::page;
use service_runtime::problem::Problem;

const DEFAULT_LIMIT: i64 = 50;
const MOST: i64 = 500;

pub(super) async fn one(id: web::Path<String>, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let not_found = || Problem::not_found("there is no claim with this id");
    let id = ClaimId::parse(&id).ok_or_else(not_found)?;
    let claim = api.database.read(move |connection| claims::find(connection, id.as_str())).await?;
    Ok(HttpResponse::Ok().json(ClaimAnswer::from(claim.ok_or_else(not_found)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    status: Option<String>,
    provider_npi: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Page {
    claims: Vec<ClaimAnswer>,
    next_cursor: Option<String>,
}

pub(super) async fn list(query: web::Query<ListQuery>, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit, DEFAULT_LIMIT, MOST)?;
    let filter = query.into_inner().filter()?;
    // One more than asked for tells whether there is a next page.
    let mut found = api.database.read(move |connection| claims::list(connection, &filter, limit + 1)).await?;
    let more = page::cut(&mut found, limit);
    let next_cursor = found.last().filter(|_| more).map(|claim| write_cursor(claim.row.id));
    Ok(HttpResponse::Ok().json(Page { claims: found.into_iter().map(ClaimAnswer::from).collect(), next_cursor }))
}

impl ListQuery {
    fn filter(self) -> Result<ListFilter, Problem> {
        let status = self
            .status
            .map(|name| {
                let names: Vec<&str> = Status::ALL.into_iter().map(Status::name).collect();
                Status::parse(&name)
                    .ok_or_else(|| Problem::malformed(format!("status must be one of {}", names.join(", "))))
            })
            .transpose()?;
        let provider_npi = self
            .provider_npi
            .map(|npi| Npi::parse(&npi).ok_or_else(|| Problem::malformed("provider_npi must be ten digits")))
            .transpose()?
            .map(|npi| npi.as_str().to_owned());
        let before = self
            .cursor
            .map(|cursor| {
                read_cursor(&cursor)
                    .ok_or_else(|| Problem::malformed("the cursor must be one that this route returned"))
            })
            .transpose()?;
        Ok(ListFilter { status, provider_npi, before })
    }
}

/// A cursor says where a page ended; what is in it is nobody's business but ours.
fn write_cursor(key: i64) -> String {
    format!("c{key:x}")
}

fn read_cursor(cursor: &str) -> Option<i64> {
    let digits = cursor.strip_prefix('c').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    i64::from_str_radix(digits, 16).ok()
}
