//! `GET /v1/reconciliation`: what was submitted against what became of it, and whether the sums agree.

use super::Api;
use crate::db::reconciliation::{self, Sum};
use crate::domain::cents::Cents;
use actix_web::{HttpResponse, web};
use claim_events::rfc3339;
use serde::Serialize;
use service_runtime::api::{Money, Time};
use service_runtime::problem::Problem;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct ReconciliationAnswer {
    #[schema(value_type = Time)]
    as_of: String,
    submitted: SumAnswer,
    /// Of these, those whose event Kafka has acknowledged.
    published: SumAnswer,
    settled: SumAnswer,
    unwound: SumAnswer,
    pending: SumAnswer,
    needs_attention: SumAnswer,
    oldest_pending_age_s: Option<i64>,
    /// Whether all of the following do.
    agrees: bool,
    checks: Vec<Check>,
}

#[derive(Serialize, ToSchema)]
struct SumAnswer {
    claims: i64,
    #[schema(value_type = Money)]
    net_fee: String,
    net_fee_cents: i64,
}

/// Two sums that must be the same.
#[derive(Serialize, ToSchema)]
struct Check {
    name: &'static str,
    expected: SumAnswer,
    found: SumAnswer,
    agrees: bool,
}

impl From<Sum> for SumAnswer {
    fn from(Sum { claims, cents }: Sum) -> Self {
        Self { claims, net_fee: Cents(cents).to_string(), net_fee_cents: cents }
    }
}

fn check(name: &'static str, expected: Sum, found: Sum) -> Check {
    Check { name, agrees: expected == found, expected: expected.into(), found: found.into() }
}

/// What was submitted, and what became of it.
///
/// Counts and sums, and whether those agree that must.
#[utoipa::path(get, path = "/v1/reconciliation", tag = "claims", operation_id = "reconcile",
    responses((status = 200, description = "Counts and sums at one moment.", body = ReconciliationAnswer)))]
pub(super) async fn reconcile(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let (found, now_us) = api
        .database
        .read(|connection| {
            connection.snapshot(|connection| {
                let now_us = connection.now_us()?;
                Ok((reconciliation::compute(connection, now_us)?, now_us))
            })
        })
        .await?;
    let checks = vec![
        check(
            "settled, unwound and pending claims are those submitted",
            found.submitted,
            found.settled + found.unwound + found.pending,
        ),
        check(
            "the providers' totals are the claims that are not unwound",
            found.settled + found.pending,
            found.provider_totals,
        ),
    ];
    Ok(HttpResponse::Ok().json(ReconciliationAnswer {
        as_of: rfc3339(now_us),
        submitted: found.submitted.into(),
        published: found.published.into(),
        settled: found.settled.into(),
        unwound: found.unwound.into(),
        pending: found.pending.into(),
        needs_attention: found.needs_attention.into(),
        oldest_pending_age_s: found.oldest_pending_age_us.map(|age_us| age_us.max(0) / 1_000_000),
        agrees: checks.iter().all(|check| check.agrees),
        checks,
    }))
}
