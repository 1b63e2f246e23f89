//! `POST /v1/claims/batch`: many claims in one request, each accepted or refused alone. The body is passed on to the thread
//! that reads it (`batch_body`), and the results come out while it is being sent (`claims/batch`).

use super::batch_body;
use super::idempotency_key::{idempotency_key, key_reused};
use super::media_type::BatchMedia;
use super::origin::current_origin;
use super::request_schema::{BatchLine, ONE_LINE_CSV, SentClaim, SentCsv, SentForm, SentLines};
use crate::claims::batch::context::Mode;
use crate::claims::batch::error::BatchError;
use crate::claims::batch::{Batch, Batches};
use crate::intake::batch_input::Grouping;
use crate::settings::Settings;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde::Deserialize;
use service_runtime::http_server::too_large;
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use service_runtime::request_context;
use std::io;
use utoipa::IntoParams;

/// How soon to come back when too many batches are being taken, in seconds.
const BUSY_RETRY_AFTER_S: u64 = 5;

/// How soon to send a batch again that broke off, in seconds.
const BROKE_OFF_RETRY_AFTER_S: u64 = 1;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchQuery {
    /// `claim`: rows of a CSV next to each other are one claim where they have the same `external_claim_id`, or without one
    /// the same plan, subscriber, provider and service date. A row that does not tell to which claim it belongs is refused
    /// with the claims beside it, of which it may be a line. `row`: each row is a claim.
    #[serde(default)]
    #[param(inline, required = false)]
    group: Grouping,
}

/// Send many claims.
///
/// Each is accepted or refused alone. The answer has a line of JSON for each claim, in the order of the claims and as soon as
/// it is known, also while the batch is still being sent; then a summary. A batch that breaks off has a line with the problem
/// instead of the summary. Sent again with the same `Idempotency-Key`, it stores nothing twice: what was stored before is a
/// `duplicate`, and it ends at the first claim that is another one than was stored from its place. The body may be packed
/// with gzip.
#[utoipa::path(post, path = "/v1/claims/batch", tag = "claims", operation_id = "submit_batch",
    params(BatchQuery, ("Idempotency-Key" = Option<String>, Header, description = "A key of the sender's own for this batch, \
        1 to 255 printable ASCII characters without blanks, sent once; each claim gets one derived from it and its place.",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content(
        (Vec<SentClaim> = "application/json", example = json!([{"plan_group": "GRP-1000", "subscriber_id": "3730189502",
            "provider_npi": "1497775530", "service_date": "2018-03-28", "lines": [{"submitted_procedure": "D0180",
            "provider_fees": "100.00", "allowed_fees": "100.00", "member_coinsurance": "0.00", "member_copay": "0.00"}]}])),
        (SentLines = "application/x-ndjson", example = json!("{\"plan_group\":\"GRP-1000\",\"subscriber_id\":\"3730189502\",\
            \"provider_npi\":\"1497775530\",\"service_date\":\"2018-03-28\",\"submitted_procedure\":\"D0180\",\
            \"provider_fees\":\"100.00\",\"allowed_fees\":\"100.00\",\"member_coinsurance\":\"0.00\",\"member_copay\":\"0.00\"}\n")),
        (SentCsv = "text/csv", example = json!(ONE_LINE_CSV)),
        (SentForm = "multipart/form-data", example = json!({"file": ONE_LINE_CSV})))),
    responses(
        (status = 200, description = "A line for each claim, and the summary.",
         content((BatchLine = "application/x-ndjson"))),
        (status = 408, description = "The body stopped coming; `batch.stall_timeout_ms` says for how long it may."),
        (status = 413, description = "The batch is larger than `batch.max_body_bytes`."),
        (status = 415, description = "The body has another media type, or another content encoding."),
        (status = 422, description = "Another batch came with this Idempotency-Key: at the first claim that differs.")))]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    Query(query): Query<BatchQuery>,
    settings: web::Data<Settings>,
    batches: web::Data<Batches>,
) -> Result<HttpResponse, Problem> {
    take(&request, payload, query.group, &settings, &batches, Mode::Store).await
}

/// Takes a batch, and answers as soon as there is a first result or a problem.
pub(super) async fn take(
    request: &HttpRequest,
    payload: web::Payload,
    grouping: Grouping,
    settings: &Settings,
    batches: &Batches,
    mode: Mode,
) -> Result<HttpResponse, Problem> {
    let BatchMedia { format, form_headers } = BatchMedia::of(request)?;
    let key = idempotency_key(request)?;
    let resending = Resending { mode, has_key: key.is_some() };
    let busy =
        || Problem::unavailable("too many batches are being taken: send this one again shortly", BUSY_RETRY_AFTER_S);
    let permit = batches.admit().ok_or_else(busy)?;
    let body = batch_body::pass_on(payload, form_headers, &settings.batch);
    let batch = Batch { body, format, grouping, mode, key, origin: current_origin() };
    let request_id = request_context::current_request_id();
    let render_problem = Box::new(move |error| resending.problem(error).to_json(request_id.clone()));
    let results = batches.start(permit, batch, render_problem).map_err(|_| busy())?;
    results.begin().await.map_err(|error| resending.problem(error))?;
    let pieces = results.stream().map(|piece| piece.map(web::Bytes::from));
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(pieces))
}

/// What decides how a batch that broke off is sent again.
#[derive(Debug, Clone, Copy)]
struct Resending {
    mode: Mode,
    /// Whether there is a key with which the batch can be sent again without a second claim for any of its claims.
    has_key: bool,
}

impl Resending {
    fn problem(self, error: BatchError) -> Problem {
        match error {
            BatchError::Malformed(malformed) => Problem::malformed(malformed.0),
            BatchError::Input(error) => input_problem(error),
            BatchError::TooManyClaims { max_claims } => {
                too_large(format!("a batch may have at most {max_claims} claims: send the rest as another"))
            }
            BatchError::OtherBatch { index } => key_reused(format!(
                "the claim with index {index} is another one than was stored from its place with the same Idempotency-Key \
                 before, so this is another batch: nothing from there on was read. Send what was not accepted before as a \
                 batch of its own, with a key of its own"
            )),
            BatchError::BrokeOff => self.broke_off(""),
            BatchError::ResultsUnread => {
                self.broke_off(" because too many of its results wait to be read, so read them while you send")
            }
            BatchError::Internal => Problem::internal(),
        }
    }

    fn broke_off(self, why: &str) -> Problem {
        let then = match self.mode {
            Mode::Validate => "send the whole again, nothing of it is stored",
            Mode::Store if self.has_key => {
                "send the whole again with the same Idempotency-Key, and nothing is stored twice"
            }
            Mode::Store => {
                "it came without an Idempotency-Key, and a claim that has no result may be stored all the same; look for it \
                 with GET /v1/claims before you send it again"
            }
        };
        Problem::unavailable(format!("the batch broke off here{why}: {then}"), BROKE_OFF_RETRY_AFTER_S)
    }
}

/// The problem that the body has of its own, or that of what cannot be unpacked.
fn input_problem(error: io::Error) -> Problem {
    error
        .downcast::<Problem>()
        .unwrap_or_else(|_| Problem::malformed("the body cannot be unpacked: send it as it is, or packed with gzip"))
}
