//! HTTP: parses requests, passes them through the gate to the database, and renders the responses.

mod book;
mod broken_responses;
pub(crate) mod faulty;
pub(crate) mod gate;
pub(crate) mod input;
mod payments;
mod problems;
mod refunds;

use actix_web::http::StatusCode;
use actix_web::web::{QueryConfig, ServiceConfig};
use actix_web::{HttpResponse, Route, web};
use service_runtime::problem::Problem;
use service_runtime::{health, metrics};

/// Adds the routes of the gateway. It has no API document, and so none of the routes that serve one.
pub fn routes(config: &mut ServiceConfig) {
    config
        .app_data(QueryConfig::default().error_handler(|_, _| {
            Problem::malformed(
                "the query cannot be read: write each parameter once, as in ?reference=abc or ?cursor=abc&limit=100",
            )
            .into()
        }))
        .service(
            web::resource("/payments")
                .route(web::post().to(payments::pay))
                .route(web::get().to(payments::look_up))
                .default_service(takes_only("GET and POST")),
        )
        .service(web::resource("/refunds").route(web::post().to(refunds::refund)).default_service(takes_only("POST")))
        .service(web::resource("/book").route(web::get().to(book::entries)).default_service(takes_only("GET")))
        .service(web::resource("/book/summary").route(web::get().to(book::summary)).default_service(takes_only("GET")))
        .service(web::resource("/book/claims").route(web::get().to(book::claims)).default_service(takes_only("GET")))
        .configure(health::routes)
        .configure(metrics::routes)
        .default_service(web::to(no_such_route));
}

/// Responds 405 to any method but those of a route.
fn takes_only(methods: &'static str) -> Route {
    web::to(move || async move {
        Err::<HttpResponse, _>(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            format!("this route allows {methods} only"),
        ))
    })
}

async fn no_such_route() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(
        "no such route; the routes are POST /payments and /refunds, and GET /payments, /book, /book/summary, /book/claims, /healthz, /readyz and /metrics",
    ))
}
