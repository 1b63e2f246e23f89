//! `GET /v1/dead-letters/{id}`: one dead letter, with its body masked.

use crate::dead_letters::DeadLetterResponse;
use crate::masked::MaskedBody;
use crate::operations::DeadLetterOperations;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// A dead letter, with its body masked.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadLetterWithBody {
    #[serde(flatten)]
    dead_letter: DeadLetterResponse,
    body: MaskedBody,
}

/// A dead letter.
///
/// The body of its message may hold anything, patient data too, so it is shown masked: names and their places, and of values
/// their kind and size.
#[utoipa::path(get, path = "/v1/dead-letters/{id}", tag = "dead letters", operation_id = "get_dead_letter",
    params(("id" = i64, Path, description = "The dead letter's id in the list.", example = 1)),
    responses(
        (status = 200, description = "The dead letter.", body = DeadLetterWithBody),
        (status = 404, description = "There is no dead letter with this id.")))]
pub(crate) async fn one(
    id: web::Path<String>,
    operations: web::Data<DeadLetterOperations>,
) -> Result<HttpResponse, Problem> {
    let id = read_id(&id)?;
    let found = operations
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

/// There is no such dead letter.
pub(crate) fn not_found() -> Problem {
    Problem::not_found("there is no dead letter with this id")
}
