//! `POST /v1/claims`: one claim, as JSON or CSV.

use super::claim_response::ClaimResponse;
use super::idempotency_key::{idempotency_key, key_reused};
use super::media_type::Format;
use super::origin::current_origin;
use super::request_schema::{ONE_LINE_CSV, Refusal, SentClaim, SentCsv};
use crate::claims::submission::{IdempotencyKey, Submitted};
use crate::claims::submit::{SubmitError, Submitter};
use crate::claims::writer::NotStored;
use crate::domain::finding::Finding;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::domain::rules::parse_errors::MORE_FINDINGS;
use crate::settings::Settings;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use service_runtime::http_server::read_body;
use service_runtime::problem::Problem;

/// How soon a sender that found the queue full should try again, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// Send a claim.
///
/// One claim, as JSON or as CSV whose rows are its lines. With an `Idempotency-Key` it may be sent again until there is an
/// answer, and is one claim. Everything that is wrong with it is said at once, and nothing of it is stored then.
#[utoipa::path(post, path = "/v1/claims", tag = "claims", operation_id = "submit_claim",
    params(("Idempotency-Key" = Option<String>, Header, description = "A key of the sender's own for this claim, 1 to 255 \
        printable ASCII characters without blanks, sent once.", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content(
        (SentClaim = "application/json", examples(
            ("lines" = (summary = "A claim with lines", value = json!({"plan_group": "GRP-1000", "subscriber_id": "3730189502",
                "provider_npi": "1497775530", "service_date": "2018-03-28", "lines": [
                {"submitted_procedure": "D0180", "provider_fees": "100.00", "allowed_fees": "100.00",
                 "member_coinsurance": "0.00", "member_copay": "0.00"},
                {"submitted_procedure": "D4346", "quadrant": "UR", "provider_fees": 130, "allowed_fees": 65,
                 "member_coinsurance": 16.25, "member_copay": 0}]}))),
            ("flat" = (summary = "One line, spelt as one's own system spells it", value = json!({"Service Date": "3/28/18",
                "Submitted Procedure": "D0180", "Plan/Group #": "GRP-1000", "Subscriber#": "3730189502",
                "Provider NPI": "1497775530", "provider fees": "$1,100.00", "allowed fees": "$100.00",
                "member coinsurance": "$0.00", "member copay": "$0.00"}))))),
        (SentCsv = "text/csv", example = json!(ONE_LINE_CSV)))),
    responses(
        (status = 201, description = "It is stored and will be paid.", body = ClaimResponse,
         headers(("Location" = String, description = "Where the claim is."))),
        (status = 200, description = "It was sent before with this Idempotency-Key: the first answer again, also where the \
            rules would refuse it now.", body = ClaimResponse,
         headers(("Idempotency-Replayed" = bool, description = "true"))),
        (status = 409, description = "There is another claim with this external_claim_id; `claim_id` names it."),
        (status = 415, description = "The body is neither JSON nor CSV."),
        (status = 422, description = "It cannot be accepted, or the Idempotency-Key came before with another body.",
         body = Refusal, content_type = "application/problem+json")))]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<Settings>,
    submitter: web::Data<Submitter>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    submitter.check_room().map_err(|error| not_stored(error, key.is_some()))?;
    let format = Format::of(&request)?;
    let body = read_body(payload, &settings.http).await?;
    let form = format.read(&body, settings.read_limits())?;
    let key = key.map(|key| IdempotencyKey::of_body(key, &body));
    let has_key = key.is_some();
    match submitter.submit(&form, key, &current_origin()).await {
        Ok(submitted) => response(submitted),
        Err(SubmitError::Refused(findings)) => Err(refused(findings)),
        Err(SubmitError::LookUp(error)) => Err(error.into()),
        Err(SubmitError::NotStored(error)) => Err(not_stored(error, has_key)),
    }
}

fn response(submitted: Submitted) -> Result<HttpResponse, Problem> {
    match submitted {
        Submitted::Accepted(claim) => {
            let location = format!("/v1/claims/{}", claim.row.claim_id);
            let body = ClaimResponse::from(*claim).to_json()?;
            Ok(HttpResponse::Created().insert_header((LOCATION, location)).content_type(ContentType::json()).body(body))
        }
        Submitted::Replayed(claim) => {
            Ok(HttpResponse::Ok().insert_header(("idempotency-replayed", "true")).json(ClaimResponse::from(*claim)))
        }
        Submitted::KeyReused => {
            Err(key_reused("the same Idempotency-Key came with another body: use a new key for a new claim"))
        }
        Submitted::LikelyDuplicate { claim_id } => Err(refused(vec![likely_duplicate(&claim_id)])),
        Submitted::ExternalIdTaken { claim_id } => Err(Problem::new(
            StatusCode::CONFLICT,
            "external-claim-id-taken",
            "The claim exists already",
            format!("a claim with this external_claim_id exists: it is /v1/claims/{claim_id}"),
        )
        .with("claim_id", claim_id)),
    }
}

fn refused(findings: Vec<Finding>) -> Problem {
    let listed = findings.iter().filter(|finding| finding.code() != MORE_FINDINGS.code).count();
    let detail = match listed {
        _ if listed < findings.len() => format!("more than {listed} things have to be put right; nothing was stored"),
        1 => "1 thing has to be put right; nothing was stored".to_owned(),
        _ => format!("{listed} things have to be put right; nothing was stored"),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "claim-refused", "The claim cannot be accepted", detail)
        .with("errors", json!(findings))
}

/// `has_key`: whether there is a key with which it can be sent again without a second claim.
fn not_stored(error: NotStored, has_key: bool) -> Problem {
    match error {
        NotStored::QueueFull => {
            Problem::unavailable("too many claims are waiting: send this one again shortly", RETRY_AFTER_S)
        }
        NotStored::Unavailable if has_key => Problem::unavailable(
            "the claim could not be stored for certain: send it again with the same Idempotency-Key",
            RETRY_AFTER_S,
        ),
        NotStored::Unavailable => Problem::unavailable(
            "the claim could not be stored for certain, and came without an Idempotency-Key: look for it with GET /v1/claims \
             before you send it again",
            RETRY_AFTER_S,
        ),
        NotStored::Refused => Problem::internal(),
    }
}
