//! `POST /v1/dead-letters/{id}/redrive` and `/discard`: what an operator does with a message that was set aside. Once: a
//! message that was redriven or discarded before stays so.

use crate::dead_letter::{not_found, read_id};
use crate::dead_letters::DeadLetterResponse;
use crate::operations::DeadLetterOperations;
use crate::operator_action::{OperatorAction, OperatorBody, Reason, ReasonedBody};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use claim_events::rfc3339;
use event_bus::{DeadLetterAction, DeadLetterState, Disposition, KeptDeadLetter};
use serde_json::json;
use service_runtime::problem::Problem;
use std::sync::Arc;

/// Send a message out again.
///
/// To its own topic, with its own key, headers and body, once. If it still cannot be applied, it is set aside anew.
#[utoipa::path(post, path = "/v1/dead-letters/{id}/redrive", tag = "dead letters", operation_id = "redrive_dead_letter",
    params(("id" = i64, Path, description = "The message's id in the list.", example = 2)),
    request_body(content = Option<OperatorBody>, example = json!({"reason": "the provider is known now", "operator": "A. Smith"})),
    responses(
        (status = 202, description = "It is on its way.", body = DeadLetterResponse),
        (status = 404, description = "No message with this id was set aside."),
        (status = 409, description = "It was redriven or discarded before, which `state` and `ended_at` tell; or it cannot be \
            sent as it came, because it is no text or too large."),
        (status = 422, description = "The reason or the operator is too long; `errors` says which.")))]
pub(crate) async fn redrive(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    desk: web::Data<DeadLetterOperations>,
) -> Result<HttpResponse, Problem> {
    let act = DeadLetterAction::from(desk.operators.read(&request, payload, Reason::Optional).await?);
    let id = read_id(&id)?;
    let relay = Arc::clone(&desk.relay);
    let redrive = move || {
        relay.commit(|connection, publications| event_bus::redrive_dead_letter(connection, publications, id, &act))
    };
    match desk.database.run(move |_| redrive()).await? {
        Disposition::Done(dead_letter) => {
            metrics::counter!("dead_letters_redriven_total", "topic" => dead_letter.topic.clone()).increment(1);
            tracing::info!(dead_letter_id = id, topic = dead_letter.topic, "dead letter redriven");
            Ok(HttpResponse::Accepted().json(DeadLetterResponse::from(dead_letter)))
        }
        Disposition::AlreadyEnded(dead_letter) => Err(ended_before(&dead_letter)),
        Disposition::Unsendable(why) => Err(Problem::new(
            StatusCode::CONFLICT,
            "not-sendable",
            "The message cannot be sent as it came",
            format!("{why}: nothing was changed; discard it"),
        )),
        Disposition::Unknown => Err(not_found()),
    }
}

/// Discard a message.
///
/// It is kept, and never sent again. Again, it changes nothing: the first reason stands.
#[utoipa::path(post, path = "/v1/dead-letters/{id}/discard", tag = "dead letters", operation_id = "discard_dead_letter",
    params(("id" = i64, Path, description = "The message's id in the list.", example = 1)),
    request_body(content = ReasonedBody, example = json!({"reason": "a test of the sender's", "operator": "A. Smith"})),
    responses(
        (status = 200, description = "It is discarded, or was before.", body = DeadLetterResponse),
        (status = 404, description = "No message with this id was set aside."),
        (status = 409, description = "It was redriven before, which `state` and `ended_at` tell."),
        (status = 422, description = "The reason is missing, or it or the operator is too long; `errors` says which.")))]
pub(crate) async fn discard(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    desk: web::Data<DeadLetterOperations>,
) -> Result<HttpResponse, Problem> {
    let act = DeadLetterAction::from(desk.operators.read(&request, payload, Reason::Required).await?);
    let id = read_id(&id)?;
    let end = desk
        .database
        .write(move |connection| {
            let now_us = connection.now_us()?;
            event_bus::discard_dead_letter(connection, id, &act, now_us)
        })
        .await?;
    match end {
        Disposition::Done(dead_letter) => {
            metrics::counter!("dead_letters_discarded_total", "topic" => dead_letter.topic.clone()).increment(1);
            tracing::info!(dead_letter_id = id, topic = dead_letter.topic, "dead letter discarded");
            Ok(HttpResponse::Ok().json(DeadLetterResponse::from(dead_letter)))
        }
        Disposition::AlreadyEnded(dead_letter) if dead_letter.state == DeadLetterState::Discarded.name() => {
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
        "Something became of the message before",
        format!("it was {} at {at}: nothing was changed", dead_letter.state),
    )
    .with("state", dead_letter.state.as_str())
    .with("ended_at", json!(at))
}

impl From<OperatorAction> for DeadLetterAction {
    fn from(OperatorAction { reason, operator, client }: OperatorAction) -> Self {
        Self { reason, operator, client }
    }
}
