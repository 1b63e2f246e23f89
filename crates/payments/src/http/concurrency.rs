//! `GET /v1/concurrency`: how many gateway calls this instance makes at once, and why.

use crate::domain::concurrency::Decision;
use crate::gateway::{Dispatcher, Snapshot};
use actix_web::{HttpResponse, web};
use claim_events::rfc3339;
use serde::Serialize;
use service_runtime::api::Time;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Concurrency)]
pub(super) struct ConcurrencyAnswer {
    size: usize,
    floor: usize,
    ceiling: usize,
    in_use: usize,
    waiting: usize,
    /// How long calls are still paused, because the gateway answered none of the last ones; 0 while they are not.
    rest_ms: i64,
    /// How long a call takes while nothing queues in the gateway; null until calls have been answered.
    baseline_ms: Option<i64>,
    /// The newest first.
    decisions: Vec<DecisionAnswer>,
}

#[derive(Serialize, ToSchema)]
struct DecisionAnswer {
    #[schema(value_type = Time)]
    at: String,
    from: usize,
    to: usize,
    reason: &'static str,
}

/// How many gateway calls this instance makes at once.
///
/// The limit and its bounds, the calls in progress and waiting, and the last decisions about the limit.
#[utoipa::path(get, path = "/v1/concurrency", tag = "operation", operation_id = "get_concurrency",
    responses((status = 200, description = "The limit now.", body = ConcurrencyAnswer)))]
pub(super) async fn now(dispatcher: web::Data<Dispatcher>) -> HttpResponse {
    let Snapshot { limit, limits, load, pause_left_us, baseline_us, decisions } = dispatcher.concurrency();
    HttpResponse::Ok().json(ConcurrencyAnswer {
        size: limit,
        floor: limits.floor,
        ceiling: limits.ceiling,
        in_use: load.in_use,
        waiting: load.waiting,
        rest_ms: (pause_left_us + 999) / 1_000,
        baseline_ms: baseline_us.map(|us| us / 1_000),
        decisions: decisions.into_iter().map(DecisionAnswer::from).collect(),
    })
}

impl From<Decision> for DecisionAnswer {
    fn from(Decision { at_us, from, to, reason }: Decision) -> Self {
        Self { at: rfc3339(at_us), from, to, reason: reason.name() }
    }
}
