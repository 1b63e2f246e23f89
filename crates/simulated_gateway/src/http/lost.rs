//! An answer that never arrives: the connection breaks instead.

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Breaks the connection without sending a byte.
///
/// The body fails before the answer's head is flushed, and the server then drops the connection. Were the head sent
/// nevertheless, by another version of the server, its status would still tell no payer that it was answered.
pub(super) fn lose_answer() -> HttpResponse {
    HttpResponse::InternalServerError().body(NeverSent)
}

struct NeverSent;

impl MessageBody for NeverSent {
    type Error = Lost;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Lost>>> {
        Poll::Ready(Some(Err(Lost)))
    }
}

/// The server logs it by its `Debug`, as an error; so that is what tells the reader that all is well.
struct Lost;

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost on purpose, as the amount's cents say")
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Lost {}
