//! The OpenAPI document of a service, and a page to read and try it (Swagger UI), from files within the program: it needs
//! no network, and its content security policy allows none.

use crate::problem::{self, Problem};
use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};
use std::sync::Arc;
use utoipa_swagger_ui::Config;

/// Swagger UI writes styles into its elements, and shows images that are within its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document as it is served.
#[derive(Debug, Clone)]
pub(crate) struct Document(pub(crate) String);

/// This document.
///
/// Everything that can be asked here, with the limits that are in force.
#[utoipa::path(get, path = "/openapi.json", tag = "service",
    responses((status = 200, description = "The document, OpenAPI 3.1.", body = Object)))]
pub(crate) async fn openapi(document: Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.0.clone())
}

/// A page to read this document and to try it.
#[utoipa::path(get, path = "/docs", tag = "service",
    responses((status = 303, description = "The page is at docs/.", headers(("Location" = String, description = "docs/")))))]
pub(crate) async fn docs() -> HttpResponse {
    // Relative, so that it holds behind a proxy that adds a prefix.
    HttpResponse::SeeOther().insert_header((header::LOCATION, "docs/")).finish()
}

/// Serves the page's files.
pub(crate) fn files(config: &mut ServiceConfig) {
    config.service(
        web::resource("/docs/{file:.*}").route(web::get().to(file)).default_service(problem::only("GET".to_owned())),
    );
}

async fn file(name: web::Path<String>) -> HttpResponse {
    let config = Config::from("../openapi.json")
        .use_base_layout()
        .doc_expansion("list")
        .default_models_expand_depth(0)
        .try_it_out_enabled(false);
    match utoipa_swagger_ui::serve(&name, Arc::new(config.validator_url("none"))) {
        Ok(Some(file)) => {
            let mut answer = HttpResponse::Ok();
            answer
                .content_type(file.content_type)
                .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
            if file.gzpipped {
                answer.insert_header((header::CONTENT_ENCODING, "gzip"));
            }
            answer.body(file.bytes.into_owned())
        }
        Ok(None) => Problem::not_found("the page has no such file").error_response(),
        Err(_) => Problem::internal().error_response(),
    }
}
