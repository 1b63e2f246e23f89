//! Answers that never arrive, or not whole: the connection breaks instead.

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

/// Sends the head of an answer and half of its body, and breaks the connection.
pub(super) fn halve_answer(answer: HttpResponse) -> HttpResponse {
    let (head, body) = answer.into_parts();
    match body.try_into_bytes() {
        Ok(whole) => head.set_body(Half { whole, sent: Sent::Nothing }).map_into_boxed_body(),
        // It breaks by itself.
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
                // The server flushes what it has before it asks again.
                self.sent = Sent::HalfForSure;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Sent::HalfForSure => Poll::Ready(Some(Err(Lost))),
        }
    }
}

/// The server logs it by its `Debug`, as an error; so that is what tells the reader that all is well.
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
