//! `GET /v1/providers/top`: the providers with the highest net fees, aggregated in the database.

use super::Api;
use crate::db::provider_totals;
use crate::domain::cents::Cents;
use actix_web::{HttpResponse, web};
use claim_events::rfc3339;
use serde::{Deserialize, Serialize};
use service_runtime::page;
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use utoipa::IntoParams;

const DEFAULT_LIMIT: i64 = 10;
const MOST: i64 = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopQuery {
    /// How many providers are listed: 1 to 100; 10 where it is not said.
    limit: Option<i64>,
}

#[derive(Serialize)]
struct TopProviders {
    providers: Vec<Provider>,
    as_of: String,
}

#[derive(Serialize)]
struct Provider {
    rank: usize,
    provider_npi: String,
    net_fee: String,
    claims: i64,
}

pub(super) async fn top(query: Query<TopQuery>, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.0.limit, DEFAULT_LIMIT, MOST)?;
    let (totals, now_us) = api
        .database
        .read(move |connection| Ok((provider_totals::top(connection, limit)?, connection.now_us()?)))
        .await?;
    let providers = totals
        .into_iter()
        .zip(1..)
        .map(|(total, rank)| Provider {
            rank,
            provider_npi: total.provider_npi,
            net_fee: Cents(total.net_fee_cents).to_string(),
            claims: total.claims,
        })
        .collect();
    Ok(HttpResponse::Ok().json(TopProviders { providers, as_of: rfc3339(now_us) }))
}
