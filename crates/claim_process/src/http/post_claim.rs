//! `POST /v1/claims`: one claim, as JSON or CSV.

use super::answer::ClaimAnswer;
use super::api::Api;
use super::sent::{ONE_LINE_CSV, Refusal, SentClaim, SentCsv};
use crate::db::known_key;
use crate::db::submit::{IdempotencyKey, Submission, Submitted};
use crate::domain::finding::Finding;
use crate::domain::identifiers::ClaimId;
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::domain::rules::parse_errors::MORE_FINDINGS;
use crate::ingest::NotStored;
use crate::intake::{Malformed, ReadLimits, read_csv, read_json};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use service_runtime::http_server::read_body;
use service_runtime::problem::Problem;
use service_runtime::{request_context, telemetry};
use sha2::{Digest, Sha256};

/// How soon a sender that found the queue full should try again, in seconds.
const RETRY_AFTER_S: u64 = 1;
const LONGEST_KEY: usize = 255;

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
        (status = 201, description = "It is stored and will be paid.", body = ClaimAnswer,
         headers(("Location" = String, description = "Where the claim is."))),
        (status = 200, description = "It was sent before with this Idempotency-Key: the first answer again, also where the \
            rules would refuse it now.", body = ClaimAnswer,
         headers(("Idempotency-Replayed" = bool, description = "true"))),
        (status = 409, description = "There is another claim with this external_claim_id; `claim_id` names it."),
        (status = 415, description = "The body is neither JSON nor CSV."),
        (status = 422, description = "It cannot be accepted, or the Idempotency-Key came before with another body.",
         body = Refusal, content_type = "application/problem+json")))]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let format = Format::of(&request)?;
    let body = read_body(payload, &api.settings.http).await?;
    let form =
        format.read(&body, api.settings.read_limits()).map_err(|Malformed(detail)| Problem::malformed(detail))?;
    let idempotency = key.map(|key| IdempotencyKey { key, body_hash: format!("{:x}", Sha256::digest(&body)) });
    let (claim, warnings) = match api.rules.accept(&form, jiff::Timestamp::now()) {
        Ok(read) => read,
        Err(findings) => {
            // The rules and the day may be other ones than when the same request was taken.
            let before = match idempotency {
                Some(key) => api.database.run(move |database| known_key::find(database, &key)).await?,
                None => None,
            };
            return before.map_or_else(|| Err(refused(findings)), answer);
        }
    };
    let keyed = idempotency.is_some();
    let submission = Submission {
        claim_id: ClaimId::random(),
        duplicate_check: api.rules.duplicate_check(&claim),
        claim,
        warnings,
        idempotency,
        correlation_id: request_context::current_request_id().unwrap_or_default(),
        traceparent: telemetry::current_traceparent(),
    };
    answer(api.ingest.submit(submission).await.map_err(|error| not_stored(error, keyed))?)
}

fn answer(submitted: Submitted) -> Result<HttpResponse, Problem> {
    match submitted {
        Submitted::Accepted(claim) => {
            tracing::info!(claim_id = claim.row.claim_id, lines = claim.lines.len(), "a claim was accepted");
            metrics::counter!("claims_accepted_total").increment(1);
            let location = format!("/v1/claims/{}", claim.row.claim_id);
            Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(ClaimAnswer::from(*claim)))
        }
        Submitted::Replayed(claim) => {
            Ok(HttpResponse::Ok().insert_header(("idempotency-replayed", "true")).json(ClaimAnswer::from(*claim)))
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

pub(super) enum Format {
    Json,
    Csv,
    /// Not said, or what `curl --data` says by itself: the first character tells.
    Unsaid,
}

impl Format {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        if content_encoding(request).is_some_and(|encoding| encoding != "identity") {
            return Err(unsupported(
                "send the claim as it is; POST /v1/claims/batch also takes what is packed with gzip",
            ));
        }
        match content_type(request).as_deref() {
            Some("application/json") => Ok(Format::Json),
            Some("text/csv") => Ok(Format::Csv),
            None | Some("application/x-www-form-urlencoded") => Ok(Format::Unsaid),
            Some(_) => Err(unsupported(
                "send application/json or text/csv, and say so in Content-Type; POST /v1/claims/batch also takes JSON Lines \
                 and forms",
            )),
        }
    }

    pub(super) fn read(&self, body: &[u8], limits: ReadLimits) -> Result<RawClaim, Malformed> {
        match self {
            Format::Json => read_json(body, limits),
            Format::Csv => read_csv(body, limits),
            Format::Unsaid => match body
                .strip_prefix("\u{feff}".as_bytes())
                .unwrap_or(body)
                .iter()
                .find(|byte| !byte.is_ascii_whitespace())
            {
                Some(b'{' | b'[') => read_json(body, limits),
                _ => read_csv(body, limits),
            },
        }
    }
}

/// A kind of body that is not read.
pub(super) fn unsupported(detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "This kind of body is not read here", detail)
}

/// The kind of body, in lower case and without its parameters.
pub(super) fn content_type(request: &HttpRequest) -> Option<String> {
    let said = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    said.map(|said| said.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
}

/// How the body is packed, in lower case.
pub(super) fn content_encoding(request: &HttpRequest) -> Option<String> {
    let said = request.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    said.map(|said| said.trim().to_ascii_lowercase())
}

pub(super) fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::malformed("the Idempotency-Key was sent more than once: send one"));
    }
    let key = value.to_str().ok().map(str::trim);
    let key =
        key.filter(|key| (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Problem::malformed(format!(
            "the Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters, and none of them a blank or a tab"
        ))
    })
}

/// What came before with the same `Idempotency-Key` was something else.
pub(super) fn key_reused(detail: impl Into<String>) -> Problem {
    let title = "The Idempotency-Key was used before";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title, detail)
}

fn refused(findings: Vec<Finding>) -> Problem {
    metrics::counter!("claims_refused_total").increment(1);
    let listed = findings.iter().filter(|finding| finding.code() != MORE_FINDINGS.code).count();
    let detail = match listed {
        _ if listed < findings.len() => format!("more than {listed} things have to be put right; nothing was stored"),
        1 => "1 thing has to be put right; nothing was stored".to_owned(),
        _ => format!("{listed} things have to be put right; nothing was stored"),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "claim-refused", "The claim cannot be accepted", detail)
        .with("errors", json!(findings))
}

/// `keyed`: whether there is a key with which it can be sent again without a second claim.
fn not_stored(error: NotStored, keyed: bool) -> Problem {
    match error {
        NotStored::QueueFull => {
            Problem::unavailable("too many claims are waiting: send this one again shortly", RETRY_AFTER_S)
        }
        NotStored::Unavailable if keyed => Problem::unavailable(
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
