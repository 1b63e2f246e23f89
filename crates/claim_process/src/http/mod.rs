//! The HTTP API. Handlers read the request, call what does the work, and turn its result into an answer.

mod answer;
mod get_claims;
mod post_claim;
mod rate_limit;
mod top_providers;

use crate::domain::rules::RuleBook;
use crate::ingest::IngestQueue;
use crate::settings::Settings;
use actix_web::{HttpResponse, ResponseError, web};
use dual_db::{Connection, Database};
use rate_limit::ClientLimit;
use service_runtime::problem::Problem;
use std::sync::Arc;
use tokio::sync::Semaphore;

pub use rate_limit::ClientLimit as TopProvidersLimit;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    /// The way in.
    pub ingest: IngestQueue,
    /// The rules as this deployment has them.
    pub rules: Arc<RuleBook>,
    /// The settings.
    pub settings: Arc<Settings>,
    reader: Reader,
}

impl Api {
    /// What the handlers share.
    pub fn new(ingest: IngestQueue, rules: RuleBook, settings: Settings, database: Database) -> Self {
        let gate = Arc::new(Semaphore::new(settings.query.max_waiting_reads));
        Self { ingest, rules: Arc::new(rules), settings: Arc::new(settings), reader: Reader { database, gate } }
    }
}

/// Reads from the database off the event loop, behind a gate that bounds how many wait.
#[derive(Debug, Clone)]
struct Reader {
    database: Database,
    gate: Arc<Semaphore>,
}

impl Reader {
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> dual_db::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = || Problem::unavailable("too many requests are being answered: try again shortly", 1);
        let permit = Arc::clone(&self.gate).try_acquire_owned().map_err(|_| busy())?;
        let database = self.database.clone();
        let result = web::block(move || {
            let _permit = permit;
            database.read(query)
        })
        .await
        .map_err(|_| busy())?;
        result.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
            match error {
                dual_db::Error::Unavailable(_) => Problem::unavailable("the database is not available: try again", 2),
                dual_db::Error::Conflict | dual_db::Error::Query(_) => Problem::internal(),
            }
        })
    }
}

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig, api: &Api, limit: &ClientLimit) {
    config
        .app_data(web::Data::new(api.clone()))
        .app_data(web::QueryConfig::default().error_handler(|_, _| {
            Problem::malformed("the query cannot be read: check the names and values behind the '?'").into()
        }))
        .service(
            web::resource("/v1/claims").post(post_claim::post).get(get_claims::list).default_service(wrong_method()),
        )
        .service(
            web::resource("/v1/providers/top")
                .wrap(limit.middleware())
                .get(top_providers::top)
                .default_service(wrong_method()),
        )
        .service(web::resource("/v1/claims/{id}").get(get_claims::one).default_service(wrong_method()));
}

fn wrong_method() -> actix_web::Route {
    web::to(|| async {
        let status = actix_web::http::StatusCode::METHOD_NOT_ALLOWED;
        Problem::new(status, "wrong-method", "Not done this way", "this route has no such method").error_response()
    })
}

/// The answer where there is no route.
pub async fn no_such_route() -> HttpResponse {
    Problem::not_found("there is no such route").error_response()
}
