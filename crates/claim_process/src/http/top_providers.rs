//! `GET /v1/providers/top`: the providers with the highest net fees, aggregated in the database.

use crate::claims::queries::{AsOf, top_providers};
use actix_web::{HttpResponse, web};
use claim_events::rfc3339;
use serde::{Deserialize, Serialize};
use service_runtime::api::{Money, Time};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::page;
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 10;
const MOST: i64 = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopQuery {
    /// How many providers are listed: 1 to 100; 10 where it is not said.
    #[param(minimum = 1, maximum = 100, example = 10)]
    limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct TopProviders {
    providers: Vec<Provider>,
    #[schema(value_type = Time)]
    as_of: String,
}

#[derive(Serialize, ToSchema)]
struct Provider {
    rank: usize,
    provider_npi: String,
    #[schema(value_type = Money)]
    net_fee: String,
    claims: i64,
}

/// The providers with the highest net fees.
///
/// Of claims that are not unwound; of equal sums the lower NPI comes first.
#[utoipa::path(get, path = "/v1/providers/top", tag = "claims", operation_id = "top_providers", params(TopQuery),
    responses((status = 200, description = "The providers, highest first.", body = TopProviders)))]
pub(super) async fn top(query: Query<TopQuery>, database: web::Data<DatabaseGate>) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.0.limit, DEFAULT_LIMIT, MOST)?;
    let AsOf { value: totals, now_us } = database.run(move |database| top_providers(database, limit)).await?;
    let providers = totals
        .into_iter()
        .zip(1..)
        .map(|(total, rank)| Provider {
            rank,
            provider_npi: total.provider_npi.to_string(),
            net_fee: total.net_fee_cents.to_string(),
            claims: total.claims,
        })
        .collect();
    Ok(HttpResponse::Ok().json(TopProviders { providers, as_of: rfc3339(now_us) }))
}
