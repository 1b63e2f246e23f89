//! `GET /v1/claims/{id}` and `GET /v1/claims`.

use super::claim_response::ClaimResponse;
use crate::claims::queries::{ListFilter, find_claim, list_claims};
use crate::domain::identifiers::Identifier;
use crate::domain::transition::Status;
use actix_web::{HttpResponse, web};
use claim_events::{ClaimId, Npi};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::page::{self, Cursors};
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 50;
const CURSORS: Cursors = Cursors::of("claims");
const MOST: i64 = 500;

/// A claim.
///
/// The claim with its lines, what became of its payment, and what happened to it.
#[utoipa::path(get, path = "/v1/claims/{id}", tag = "claims", operation_id = "get_claim",
    params(("id" = String, Path, description = "The claim's id.", example = "4fXk0aV1StGXR8Z5jdHi6B")),
    responses(
        (status = 200, description = "The claim.", body = ClaimResponse),
        (status = 404, description = "There is no claim with this id.")))]
pub(super) async fn one(id: web::Path<String>, database: web::Data<DatabaseGate>) -> Result<HttpResponse, Problem> {
    let not_found = || Problem::not_found("there is no claim with this id");
    let id = ClaimId::parse(&id).ok_or_else(not_found)?;
    let claim = database.run(move |database| find_claim(database, &id)).await?;
    Ok(HttpResponse::Ok().json(ClaimResponse::from(claim.ok_or_else(not_found)?)))
}

/// Which claims to list: those that every parameter fits.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Claims with this status: submitted, void_requested, settled or unwound.
    #[param(inline, value_type = Option<Status>)]
    status: Option<String>,
    /// Claims of this provider: the ten digits of its NPI.
    #[param(pattern = "^[0-9]{10}$")]
    provider_npi: Option<String>,
    /// Claims of this plan or group, spelt as in the claim.
    #[param(min_length = 1, max_length = 64)]
    plan_group: Option<String>,
    /// The claim to which its sender gave this id.
    #[param(min_length = 1, max_length = 64)]
    external_claim_id: Option<String>,
    /// `true`: claims that an operator should look at, since their outcome is overdue or their payment is stuck; `false`: all others.
    needs_attention: Option<bool>,
    /// Claims submitted at this time or later: a time as in RFC 3339, or a date, which begins at midnight UTC.
    #[param(example = "2026-11-22")]
    submitted_from: Option<String>,
    /// Claims submitted before this time: a time as in RFC 3339, or a date, the whole of which (in UTC) is included.
    #[param(example = "2126-11-22T09:30:00Z")]
    submitted_to: Option<String>,
    /// How many claims a page has: 1 to 500; 50 where it is not said.
    #[param(minimum = 1, maximum = 500, example = 50)]
    limit: Option<i64>,
    /// Where the page begins: the `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ClaimPage)]
pub(super) struct Page {
    claims: Vec<ClaimResponse>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// Claims, newest first.
///
/// A page at a time. Each claim is on one page, however many come in while the pages are read.
#[utoipa::path(get, path = "/v1/claims", tag = "claims", operation_id = "list_claims", params(ListQuery),
    responses((status = 200, description = "A page of claims.", body = Page)))]
pub(super) async fn list(query: Query<ListQuery>, database: web::Data<DatabaseGate>) -> Result<HttpResponse, Problem> {
    let Query(query) = query;
    let limit = page::limit(query.limit, DEFAULT_LIMIT, MOST)?;
    let filter = query.filter()?;
    // One more than asked for tells whether there is a next page.
    let mut found = database.run(move |database| list_claims(database, &filter, limit + 1)).await?;
    let next_cursor = page::cut(&mut found, limit, |claim| CURSORS.write(&claim.row.id));
    Ok(HttpResponse::Ok().json(Page { claims: found.into_iter().map(ClaimResponse::from).collect(), next_cursor }))
}

impl ListQuery {
    fn filter(self) -> Result<ListFilter, Problem> {
        let statuses = || Status::ALL.map(Status::as_str).join(", ");
        let submitted_from_us = parsed(self.submitted_from, begins_at_us, || must_be_time("submitted_from"))?;
        let submitted_before_us = parsed(self.submitted_to, ends_at_us, || must_be_time("submitted_to"))?;
        if submitted_from_us.zip(submitted_before_us).is_some_and(|(from_us, before_us)| from_us >= before_us) {
            return Err(Problem::malformed("submitted_from must be earlier than submitted_to"));
        }
        Ok(ListFilter {
            status: parsed(self.status, |text| text.parse().ok(), || format!("status must be one of {}", statuses()))?,
            provider_npi: parsed(self.provider_npi, Npi::parse, || "provider_npi must be ten digits".to_owned())?,
            plan_group: parsed(self.plan_group, identifier, || must_be_identifier("plan_group"))?,
            external_claim_id: parsed(self.external_claim_id, identifier, || must_be_identifier("external_claim_id"))?,
            needs_attention: self.needs_attention,
            submitted_from_us,
            submitted_before_us,
            before: CURSORS.read(self.cursor.as_deref())?,
        })
    }
}

/// Reads a parameter that may be missing; `wanted` describes what it must be.
fn parsed<T>(
    text: Option<String>,
    read: impl FnOnce(&str) -> Option<T>,
    wanted: impl FnOnce() -> String,
) -> Result<Option<T>, Problem> {
    text.map(|text| read(&text).ok_or_else(|| Problem::malformed(wanted()))).transpose()
}

fn identifier(text: &str) -> Option<String> {
    Identifier::parse(text).map(|id| id.as_str().to_owned())
}

fn must_be_identifier(name: &str) -> String {
    format!("{name} must have 1 to {} printable characters", Identifier::MOST_CHARACTERS)
}

fn must_be_time(name: &str) -> String {
    format!(
        "{name} must be a time, as in 2026-11-22T09:30:00Z (write the + of an offset as %2B), or a date, as in 2026-11-22"
    )
}

/// The first microsecond that a time or a date means.
fn begins_at_us(text: &str) -> Option<i64> {
    match date(text) {
        Some(date) => midnight_us(date),
        None => text.parse().ok().map(Timestamp::as_microsecond),
    }
}

/// The first microsecond behind a date, or the time itself. Nothing is behind the last of all dates, which means no end.
fn ends_at_us(text: &str) -> Option<i64> {
    match date(text) {
        Some(date) => Some(date.tomorrow().ok().and_then(midnight_us).unwrap_or(i64::MAX)),
        None => text.parse().ok().map(Timestamp::as_microsecond),
    }
}

/// A date without a time.
fn date(text: &str) -> Option<Date> {
    (text.len() == "2026-11-22".len()).then(|| Date::strptime("%Y-%m-%d", text).ok()).flatten()
}

fn midnight_us(date: Date) -> Option<i64> {
    TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok().map(Timestamp::as_microsecond)
}
