//! `POST /v1/claims/batch`: many claims in one request, each accepted or refused alone.
//!
//! Three things go on at the same time, with bounded queues between them: the body is passed on ([`body`]), claims are read,
//! checked and handed to the writer ([`reading`]), and their results are written down in the order of the claims
//! ([`results`]) for the sender to take ([`unread`]).

mod body;
mod earlier;
mod intent;
mod lookups;
mod reading;
mod results;
mod unread;

use super::api::Api;
use super::post_claim::{content_encoding, content_type, idempotency_key, unsupported};
use super::sent::{BatchLine, ONE_LINE_CSV, SentClaim, SentCsv, SentForm, SentLines};
use crate::intake::batch::{BatchFormat, BatchLimits, Grouping};
use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use earlier::Earlier;
use intent::Intent;
pub(super) use intent::Purpose;
use lookups::Lookups;
use reading::Reading;
use results::Results;
use serde::Deserialize;
use service_runtime::problem::Problem;
use service_runtime::query::Query;
use service_runtime::{request_context, telemetry};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use unread::Unread;
use utoipa::IntoParams;

/// How soon to come back when too many batches are being taken, in seconds.
const RETRY_AFTER_S: u64 = 5;

/// How many claims of a batch may be read whose results are not written yet: what is found wrong with each is in memory.
const RESULTS_AHEAD: usize = 256;

const JSON_LINES: [&str; 3] = ["application/x-ndjson", "application/ndjson", "application/jsonl"];
const FORM: &str = "multipart/form-data";

/// Whether a body of this kind can be nothing but a batch.
pub(super) fn is_always_a_batch(kind: &str) -> bool {
    kind == FORM || JSON_LINES.contains(&kind)
}

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
        (status = 415, description = "The body is none of these kinds, or packed in another way."),
        (status = 422, description = "Another batch came with this Idempotency-Key: at the first claim that differs.")))]
pub(super) async fn post(
    request: HttpRequest,
    payload: web::Payload,
    Query(query): Query<BatchQuery>,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    take(&request, payload, query.group, &api, Purpose::Store).await
}

/// Takes a batch, and answers as soon as there is a first result or a problem.
pub(super) async fn take(
    request: &HttpRequest,
    payload: web::Payload,
    group: Grouping,
    api: &Api,
    purpose: Purpose,
) -> Result<HttpResponse, Problem> {
    let sent = Sent::of(request)?;
    let key = idempotency_key(request)?;
    let busy = || Problem::unavailable("too many batches are being taken: send this one again shortly", RETRY_AFTER_S);
    let place = Arc::clone(&api.batches).try_acquire_owned().map_err(|_| busy())?;
    let settings = &api.settings.batch;
    let unread = Unread::new(settings.max_unread_bytes);
    let (sender, receiver) = mpsc::channel(settings.max_waiting_claims.min(RESULTS_AHEAD));
    let intent = Intent { purpose, keyed: key.is_some() };
    let patience = Duration::from_millis(api.settings.ingest.answer_timeout_ms);
    let lookups = Lookups {
        database: api.database.clone(),
        turns: Arc::clone(&api.batch_lookups),
        patience,
        intent,
        runtime: api.runtime.clone(),
    };
    let reading = Reading {
        rules: Arc::clone(&api.rules),
        ingest: api.ingest.clone(),
        lookups: lookups.clone(),
        waiting: Arc::clone(&api.batch_claims),
        patience,
        intent,
        earlier: Earlier::new(key.clone(), lookups.clone()),
        key,
        correlation_id: request_context::current_request_id().unwrap_or_default(),
        traceparent: telemetry::current_traceparent(),
        runtime: api.runtime.clone(),
        results: sender,
        claims: 0,
        max_claims: settings.max_claims,
    };
    let results = Results {
        intent,
        lookups,
        unread: unread.clone(),
        patience: Duration::from_millis(settings.stall_timeout_ms),
        runtime: api.runtime.clone(),
        request_id: request_context::current_request_id(),
    };
    let limits = BatchLimits { max_claim_bytes: settings.max_claim_bytes, read: api.settings.read_limits() };
    let body = body::pass_on(payload, sent.file_of, settings);
    // Threads of their own: they mostly wait, and must not keep those that read the database. Both end by themselves, and
    // each when the other does.
    let started = thread("batch reader", move || reading.run(body, sent.format, group, limits)).and_then(|()| {
        thread("batch results", move || {
            let _place = place;
            results.run(receiver);
        })
    });
    started.map_err(|_| busy())?;
    unread.begin().await?;
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(unread.stream()))
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// How a batch was sent.
struct Sent {
    /// None: the first character tells.
    format: Option<BatchFormat>,
    /// The headers of a form.
    file_of: Option<HeaderMap>,
}

impl Sent {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        if !matches!(content_encoding(request).as_deref(), None | Some("identity" | "gzip" | "x-gzip")) {
            return Err(unsupported("send the batch as it is, or packed with gzip"));
        }
        let kind = content_type(request);
        if kind.as_deref() == Some(FORM) && !matches!(content_encoding(request).as_deref(), None | Some("identity")) {
            return Err(unsupported("send the form as it is; the file in it may be packed with gzip"));
        }
        let format = match kind.as_deref() {
            Some("application/json") => Some(BatchFormat::JsonArray),
            Some(kind) if JSON_LINES.contains(&kind) => Some(BatchFormat::JsonLines),
            Some("text/csv") => Some(BatchFormat::Csv),
            // What browsers say of a file, and curl of any body, says nothing.
            None | Some(FORM | "application/gzip" | "application/x-www-form-urlencoded") => None,
            Some(_) => {
                return Err(unsupported(
                    "send application/json, application/x-ndjson, text/csv, or multipart/form-data with a part 'file', \
                     and say so in Content-Type",
                ));
            }
        };
        let file_of = (kind.as_deref() == Some(FORM)).then(|| request.headers().clone());
        Ok(Self { format, file_of })
    }
}
