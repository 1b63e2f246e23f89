//! `POST /v1/claims/{id}/void`: voids a claim, at any time. What was paid is paid back.

use super::claim_response::ClaimResponse;
use super::request_schema::Refusal;
use crate::claims::void::{Voided, Voider};
use crate::domain::rules::parse_errors::{LENGTH, REQUIRED};
use crate::settings::Settings;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use claim_events::ClaimId;
use serde::Deserialize;
use serde_json::json;
use service_runtime::database_gate::DatabaseGate;
use service_runtime::http_server::read_body;
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VoidBody {
    /// Why the claim is voided. It is kept in the claim's timeline and goes nowhere else.
    #[schema(value_type = String, min_length = 1, max_length = 500, examples("sent by mistake"))]
    reason: Option<String>,
}

/// Void a claim.
///
/// At any time, and as often as one likes: what was paid is paid back, and the claim ends unwound.
#[utoipa::path(post, path = "/v1/claims/{id}/void", tag = "claims", operation_id = "void_claim",
    params(("id" = String, Path, description = "The claim's id.", example = "4fXk0aV1StGXR8Z5jdHi6B")),
    request_body(content = VoidBody, example = json!({"reason": "sent by mistake"})),
    responses(
        (status = 202, description = "It is being voided, or was before.", body = ClaimResponse),
        (status = 404, description = "There is no claim with this id."),
        (status = 409, description = "It is unwound already, for another cause."),
        (status = 422, description = "The reason is missing or too long.", body = Refusal,
         content_type = "application/problem+json")))]
pub(super) async fn post(
    id: web::Path<String>,
    payload: web::Payload,
    settings: web::Data<Settings>,
    database: web::Data<DatabaseGate>,
    voider: web::Data<Voider>,
) -> Result<HttpResponse, Problem> {
    let reason = read_reason(&read_body(payload, &settings.http).await?)?;
    let not_found = || Problem::not_found("there is no claim with this id");
    let id = ClaimId::parse(&id).ok_or_else(not_found)?;
    match database.run(move |_| voider.void(&id, &reason)).await? {
        Voided::Accepted(claim) => Ok(HttpResponse::Accepted().json(ClaimResponse::from(*claim))),
        Voided::NoSuchClaim => Err(not_found()),
        Voided::AlreadyUnwound => Err(Problem::new(
            StatusCode::CONFLICT,
            "already-unwound",
            "The claim is unwound already",
            "the claim was unwound for another cause, which its outcome names: nothing is left to void",
        )),
    }
}

/// The reason; it may say anything of a patient, so it is stored and never logged.
fn read_reason(body: &[u8]) -> Result<String, Problem> {
    let unreadable =
        || Problem::malformed("the body must be JSON with one field: {\"reason\": \"why the claim is voided\"}");
    let VoidBody { reason } = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let reason = reason.map(|reason| reason.trim().to_owned()).unwrap_or_default();
    let (rule, message) = match reason.chars().count() {
        0 => (REQUIRED, "must say why the claim is voided".to_owned()),
        count if count > LONGEST_REASON => (LENGTH, format!("must have at most {LONGEST_REASON} characters")),
        _ if reason.contains('\0') => (LENGTH, "must have no NUL character".to_owned()),
        _ => return Ok(reason),
    };
    let finding = json!([{"field": "reason", "pointer": "/reason", "code": rule.code, "message": message}]);
    Err(Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "void-refused",
        "The claim cannot be voided like this",
        "1 thing has to be put right; nothing was changed",
    )
    .with("errors", finding))
}
