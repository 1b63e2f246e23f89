//! The HTTP API. Handlers read the request, call a use case of `claims`, and turn its result into a response: they know no
//! database. The routes of dead letters come from `operator_api`.

pub mod api;
mod attention;
mod batch_body;
mod claim_response;
mod get_claims;
mod idempotency_key;
mod media_type;
mod origin;
mod post_batch;
mod post_claim;
mod rate_limit;
mod reconciliation;
mod request_schema;
mod rules;
mod top_providers;
mod validate_claim;
mod void_claim;

use crate::settings::{RateLimitSettings, Settings};
use rate_limit::ClientLimit;
use service_runtime::api::{Documented, Routes};
use service_runtime::client_address::Clients;
use service_runtime::route;

/// What each client may do in a minute.
#[derive(Debug, Clone)]
pub struct Limits {
    top_providers: ClientLimit,
    writes: ClientLimit,
}

impl Limits {
    /// The limits that the settings name.
    pub fn new(settings: &Settings) -> Self {
        let clients = Clients::behind(&settings.proxies);
        let RateLimitSettings { writes_per_minute, limit_loopback, top_providers_per_minute } = settings.rate_limit;
        Self {
            top_providers: ClientLimit::per_minute(top_providers_per_minute, true, &clients),
            writes: ClientLimit::per_minute(writes_per_minute, limit_loopback, &clients),
        }
    }

    /// Forgets clients that have not been seen for a while.
    pub fn forget_idle_clients(&self) {
        self.top_providers.forget_idle_clients();
        self.writes.forget_idle_clients();
    }
}

/// The routes, with their document.
pub fn routes(settings: &Settings, limits: &Limits) -> Routes {
    let (writes, tops) = (settings.rate_limit.writes_per_minute, settings.rate_limit.top_providers_per_minute);
    let description = format!(
        "Takes dental claims, and says what became of each. A claim may have {} lines, a value {} bytes, a CSV {} columns, JSON {} \
         levels; {} findings are listed, and the others counted. A batch may have {} bytes as it is sent, {} claims, and {} bytes \
         in a claim. Every error is a problem as in RFC 9457.",
        settings.checks.max_lines,
        settings.intake.max_value_bytes,
        settings.intake.max_columns,
        settings.intake.max_depth,
        settings.checks.max_findings,
        settings.batch.max_body_bytes,
        settings.batch.max_claims,
        settings.batch.max_claim_bytes
    );
    let limit_writes = |route: Documented| route.limited(writes, |route| limits.writes.around(route));
    let routes = Routes::new("Claims", &description, &settings.http)
        .route(limit_writes(route!(post_claim::post)))
        .route(route!(get_claims::list))
        .route(route!(get_claims::one))
        .route(route!(rules::list))
        .route(limit_writes(route!(post_batch::post)))
        .route(limit_writes(route!(validate_claim::post)))
        .route(limit_writes(route!(void_claim::post)))
        .route(route!(top_providers::top).limited(tops, |route| limits.top_providers.around(route)))
        .route(route!(reconciliation::reconcile));
    operator_api::dead_letter_routes(routes, limit_writes)
}
