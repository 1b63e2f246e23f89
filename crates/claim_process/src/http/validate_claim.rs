//! `POST /v1/claims/validate`: the same checks as for storing, and nothing is stored. One claim, or with `?batch=true` (or a
//! kind of body that is always a batch) many.

use super::claim_response::ClaimPreview;
use super::media_type::{Format, is_always_a_batch};
use super::post_batch::take;
use super::request_schema::{BatchLine, ONE_LINE_CSV, SentClaim, SentCsv, SentForm, SentLines};
use crate::claims::batch::Batches;
use crate::claims::batch::context::Mode;
use crate::claims::preflight::validate;
use crate::domain::finding::Finding;
use crate::domain::rules::rule::Severity;
use crate::domain::rules::rule_set::{RuleSet, Validation};
use crate::intake::batch_input::Grouping;
use crate::settings::Settings;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use service_runtime::database_gate::DatabaseGate;
use service_runtime::http_server::read_body;
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ValidateQuery {
    /// `true`: the body is a batch, as for `/v1/claims/batch`, and the answer has a line for each claim.
    #[serde(default)]
    #[param(required = false)]
    batch: bool,
    /// In a batch as CSV: `claim` or `row`.
    #[serde(default)]
    #[param(inline, required = false)]
    group: Grouping,
}

/// What would become of a claim.
#[derive(Serialize, ToSchema)]
struct Validated {
    valid: bool,
    /// What refuses it, then what warns.
    findings: Vec<Judged>,
    /// As it would be stored; none where it would not.
    claim: Option<ClaimPreview>,
}

/// A finding and what it does to the claim.
#[derive(Serialize, ToSchema)]
struct Judged {
    #[schema(value_type = String, examples("reject", "warn"))]
    severity: Severity,
    #[serde(flatten)]
    finding: Finding,
}

/// Check a claim, or many, without storing them.
///
/// The same checks as for storing, and a look at what is stored now: whether an `external_claim_id` is taken, and whether a
/// claim that stands is the same. The claims of a batch are not compared with each other.
#[utoipa::path(post, path = "/v1/claims/validate", tag = "claims", operation_id = "validate_claim",
    params(ValidateQuery, ("Idempotency-Key" = Option<String>, Header, description = "Read as for a batch, and otherwise of no \
        use here: nothing is stored.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content(
        (SentClaim = "application/json", example = json!({"plan_group": "GRP-1000", "subscriber_id": "3730189502",
            "provider_npi": "1497775530", "service_date": "2018-03-28", "submitted_procedure": "E0180",
            "provider_fees": "100.00", "allowed_fees": "100.00", "member_coinsurance": "0.00", "member_copay": "0.00"})),
        (SentLines = "application/x-ndjson", example = json!("{\"plan_group\":\"GRP-1000\"}\n")),
        (SentCsv = "text/csv", example = json!(ONE_LINE_CSV)),
        (SentForm = "multipart/form-data", example = json!({"file": ONE_LINE_CSV})))),
    responses(
        (status = 200, description = "What would become of it.",
         content((Validated = "application/json"), (BatchLine = "application/x-ndjson"))),
        (status = 415, description = "The body has another media type.")))]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    Query(query): Query<ValidateQuery>,
    settings: web::Data<Settings>,
    rules: web::Data<RuleSet>,
    database: web::Data<DatabaseGate>,
    batches: web::Data<Batches>,
) -> Result<HttpResponse, Problem> {
    if query.batch || is_always_a_batch(&request) {
        return take(&request, payload, query.group, &settings, &batches, Mode::Validate).await;
    }
    let format = Format::of(&request)?;
    let body = read_body(payload, &settings.http).await?;
    let form = format.read(&body, settings.read_limits())?;
    let Validation { claim, refused, warnings } = validate(&rules, &database, &form).await?;
    let refused = refused.into_iter().map(|finding| Judged { severity: Severity::Reject, finding });
    let warned = warnings.into_iter().map(|finding| Judged { severity: Severity::Warn, finding });
    let claim = claim.as_ref().map(ClaimPreview::from);
    Ok(HttpResponse::Ok().json(Validated { valid: claim.is_some(), findings: refused.chain(warned).collect(), claim }))
}
