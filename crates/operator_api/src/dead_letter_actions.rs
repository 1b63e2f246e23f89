//! `POST /v1/dead-letters/{id}/redrive` and `/discard`: what an operator does with a dead letter. Once: one that was redriven
//! or discarded before stays so.

use crate::dead_letter::{not_found, read_id};
use crate::dead_letters::DeadLetterResponse;
use crate::operations::DeadLetterOperations;
use crate::operator_action::{OperatorAction, ReasonedBody};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use claim_events::rfc3339;
use event_bus::{DeadLetterAction, DeadLetterState, Disposition, KeptDeadLetter};
use serde_json::json;
use service_runtime::problem::Problem;
use std::sync::Arc;

/// Redrive a dead letter.
///
/// Its message is published again, once, to the topic it came from, with its own key, headers and body. If it still cannot be
/// applied, it becomes a new dead letter.
#[utoipa::path(post, path = "/v1/dead-letters/{id}/redrive", tag = "dead letters", operation_id = "redrive_dead_letter",
    params(("id" = i64, Path, description = "The dead letter's id in the list.", example = 2)),
    request_body(content = ReasonedBody, example = json!({"reason": "the provider is known now", "operator": "A. Smith"})),
    responses(
        (status = 202, description = "It is being published.", body = DeadLetterResponse),
        (status = 404, description = "There is no dead letter with this id."),
        (status = 409, description = "It was redriven or discarded before, as `state` and `ended_at` show; or its message cannot \
            be published as it came, because it is not text or is too large."),
        (status = 422, description = "The reason is missing, or it or the operator is too long; `errors` names the field.")))]
pub(crate) async fn redrive(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    operations: web::Data<DeadLetterOperations>,
) -> Result<HttpResponse, Problem> {
    let action = read(&operations, &request, payload).await?;
    let id = read_id(&id)?;
    let relay = Arc::clone(&operations.relay);
    let redrive = move || {
        relay.commit(|connection, publications| event_bus::redrive_dead_letter(connection, publications, id, &action))
    };
    match operations.database.run(move |_| redrive()).await? {
        Disposition::Done(dead_letter) => {
            metrics::counter!("dead_letters_redriven_total", "topic" => dead_letter.topic.clone()).increment(1);
            tracing::info!(dead_letter_id = id, topic = dead_letter.topic, "dead letter redriven");
            Ok(HttpResponse::Accepted().json(DeadLetterResponse::from(dead_letter)))
        }
        Disposition::AlreadyEnded(dead_letter) => Err(ended_before(&dead_letter)),
        Disposition::Unsendable(why) => Err(Problem::new(
            StatusCode::CONFLICT,
            "not-sendable",
            "The message cannot be published as it came",
            format!("{why}: nothing was changed; discard the dead letter"),
        )),
        Disposition::Unknown => Err(not_found()),
    }
}

/// Discard a dead letter.
///
/// It is kept, and its message is never published again. Discarding it again changes nothing: the first reason stands.
#[utoipa::path(post, path = "/v1/dead-letters/{id}/discard", tag = "dead letters", operation_id = "discard_dead_letter",
    params(("id" = i64, Path, description = "The dead letter's id in the list.", example = 1)),
    request_body(content = ReasonedBody, example = json!({"reason": "a test of the sender's", "operator": "A. Smith"})),
    responses(
        (status = 200, description = "It is discarded, or was before.", body = DeadLetterResponse),
        (status = 404, description = "There is no dead letter with this id."),
        (status = 409, description = "It was redriven before, as `state` and `ended_at` show."),
        (status = 422, description = "The reason is missing, or it or the operator is too long; `errors` names the field.")))]
pub(crate) async fn discard(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    operations: web::Data<DeadLetterOperations>,
) -> Result<HttpResponse, Problem> {
    let action = read(&operations, &request, payload).await?;
    let id = read_id(&id)?;
    let end = operations
        .database
        .write(move |connection| {
            let now_us = connection.now_us()?;
            event_bus::discard_dead_letter(connection, id, &action, now_us)
        })
        .await?;
    match end {
        Disposition::Done(dead_letter) => {
            metrics::counter!("dead_letters_discarded_total", "topic" => dead_letter.topic.clone()).increment(1);
            tracing::info!(dead_letter_id = id, topic = dead_letter.topic, "dead letter discarded");
            Ok(HttpResponse::Ok().json(DeadLetterResponse::from(dead_letter)))
        }
        Disposition::AlreadyEnded(dead_letter) if dead_letter.state == DeadLetterState::Discarded => {
            Ok(HttpResponse::Ok().json(DeadLetterResponse::from(dead_letter)))
        }
        Disposition::AlreadyEnded(dead_letter) => Err(ended_before(&dead_letter)),
        Disposition::Unsendable(_) | Disposition::Unknown => Err(not_found()),
    }
}

fn ended_before(dead_letter: &KeptDeadLetter) -> Problem {
    let at = dead_letter.ended_at_us.map(rfc3339).unwrap_or_default();
    Problem::new(
        StatusCode::CONFLICT,
        "ended-before",
        "The dead letter has ended before",
        format!("it was {} at {at}: nothing was changed", dead_letter.state),
    )
    .with("state", dead_letter.state.as_str())
    .with("ended_at", json!(at))
}

async fn read(
    operations: &DeadLetterOperations,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<DeadLetterAction, Problem> {
    let (OperatorAction { reason, operator, client }, ReasonedBody { .. }) =
        operations.operators.read(request, payload).await?;
    Ok(DeadLetterAction { reason: Some(reason), operator, client })
}
