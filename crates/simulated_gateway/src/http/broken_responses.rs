//! Responses that are lost or truncated: the connection is closed instead.

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Closes the connection without sending a byte.
///
/// The body fails before the head of the response is flushed, so the server drops the connection. If another version of the
/// server sent the head, its status 500 would still not be a definite response.
pub(super) fn lose_response() -> HttpResponse {
    HttpResponse::InternalServerError().body(NeverSent)
}

/// Sends the head of a response and half of its body, and closes the connection.
pub(super) fn truncate_response(response: HttpResponse) -> HttpResponse {
    let (head, body) = response.into_parts();
    match body.try_into_bytes() {
        Ok(whole) => head.set_body(Half { whole, sent: Sent::Nothing }).map_into_boxed_body(),
        // A body that is not bytes already fails by itself.
        Err(body) => head.set_body(body),
    }
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

struct Half {
    whole: Bytes,
    sent: Sent,
}

enum Sent {
    Nothing,
    Half,
    HalfForSure,
}

impl MessageBody for Half {
    type Error = Lost;

    fn size(&self) -> BodySize {
        self.whole.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Lost>>> {
        match self.sent {
            Sent::Nothing => {
                self.sent = Sent::Half;
                Poll::Ready(Some(Ok(self.whole.slice(..self.whole.len() / 2))))
            }
            Sent::Half => {
                // The server flushes the first half before it polls again.
                self.sent = Sent::HalfForSure;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Sent::HalfForSure => Poll::Ready(Some(Err(Lost))),
        }
    }
}

/// The server logs this error with its `Debug`, which therefore explains that it is intended.
struct Lost;

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost on purpose, as the amount's cents or the settings say")
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Lost {}
