//! `GET /v1/dead-letters/{id}`: one message that could not be applied, with its body masked.

use crate::dead_letters::DeadLetterResponse;
use crate::masked::MaskedBody;
use crate::operations::DeadLetterOperations;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// A message that was set aside, with its body masked.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadLetterWithBody {
    #[serde(flatten)]
    dead_letter: DeadLetterResponse,
    body: MaskedBody,
}

/// A message that was set aside.
///
/// Its body may hold anything, patient data too, so it is shown masked: names and their places, and of values their kind and
/// size.
#[utoipa::path(get, path = "/v1/dead-letters/{id}", tag = "dead letters", operation_id = "get_dead_letter",
    params(("id" = i64, Path, description = "The message's id in the list.", example = 1)),
    responses(
        (status = 200, description = "The message.", body = DeadLetterWithBody),
        (status = 404, description = "No message with this id was set aside.")))]
pub(crate) async fn one(id: web::Path<String>, desk: web::Data<DeadLetterOperations>) -> Result<HttpResponse, Problem> {
    let id = read_id(&id)?;
    let found = desk
        .database
        .read(move |connection| {
            let found = event_bus::find_dead_letter(connection, id)?;
            Ok(found.map(|(dead_letter, body)| DeadLetterWithBody {
                dead_letter: dead_letter.into(),
                body: MaskedBody::of(&body),
            }))
        })
        .await?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(not_found)?))
}

/// Reads the id in a path.
pub(crate) fn read_id(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| not_found())
}

/// There is no such message.
pub(crate) fn not_found() -> Problem {
    Problem::not_found("no message with this id was set aside")
}
