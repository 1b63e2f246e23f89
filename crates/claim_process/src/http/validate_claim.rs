//! `POST /v1/claims/validate`: the same checks as for storing, and nothing is stored. One claim, or with `?batch=true` (or a
//! kind of body that is always a batch) many. Whether an `external_claim_id` is taken is only known when it is stored.

use super::Api;
use super::answer::ClaimPreview;
use super::batch::{GroupBy, Purpose, take};
use super::post_claim::{Format, content_type};
use crate::domain::form::Finding;
use crate::domain::rules::Severity;
use crate::intake::Malformed;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use service_runtime::http_server::read_body;
use service_runtime::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ValidateQuery {
    #[serde(default)]
    batch: bool,
    #[serde(default)]
    group: GroupBy,
}

/// What would become of a claim.
#[derive(Serialize)]
struct Validated {
    valid: bool,
    findings: Vec<Judged>,
    /// As it would be stored; none where it would not.
    claim: Option<ClaimPreview>,
}

/// A finding and what it does to the claim.
#[derive(Serialize)]
struct Judged {
    severity: Severity,
    #[serde(flatten)]
    finding: Finding,
}

pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    query: web::Query<ValidateQuery>,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let always_many = ["application/x-ndjson", "application/ndjson", "application/jsonl", "multipart/form-data"];
    if query.batch || content_type(&request).is_some_and(|kind| always_many.contains(&kind.as_str())) {
        return take(&request, payload, query.group, &api, Purpose::Validate).await;
    }
    let format = Format::of(&request)?;
    let body = read_body(payload, &api.settings.http).await?;
    let form = format.read(&body).map_err(|Malformed(detail)| Problem::malformed(detail))?;
    let validated = match api.rules.read(&form) {
        Ok((claim, warnings)) => Validated {
            valid: true,
            findings: judged(Severity::Warn, warnings),
            claim: Some(ClaimPreview::from(&claim)),
        },
        Err(findings) => Validated { valid: false, findings: judged(Severity::Reject, findings), claim: None },
    };
    Ok(HttpResponse::Ok().json(validated))
}

fn judged(severity: Severity, findings: Vec<Finding>) -> Vec<Judged> {
    findings.into_iter().map(|finding| Judged { severity, finding }).collect()
}
