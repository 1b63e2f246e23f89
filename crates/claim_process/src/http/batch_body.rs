//! The body of a batch on its way from the socket to the thread that reads it: a few pieces at a time, so that a sender
//! that is faster than the database has to wait.

use crate::claims::batch::BatchBody;
use crate::settings::BatchSettings;
use actix_multipart::Multipart;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Buf, Bytes, Payload};
use futures_util::{Stream, StreamExt};
use service_runtime::http_server::{close_behind, too_large, too_slow};
use service_runtime::problem::Problem;
use std::fmt::Display;
use std::io::{self, Read};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Pieces under way at the same time. actix gives at most 64 KiB in one.
const PIECES: usize = 4;

/// What has to arrive within the time-out.
const LEAST: usize = 16 * 1024;

enum Piece {
    Bytes(Bytes),
    End,
    Broken(Problem),
}

/// The reading end, for a thread that may block. A problem on the way is an [`io::Error`] that holds it.
pub(super) struct Body {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl BatchBody for Body {
    fn would_wait(&mut self) -> bool {
        self.current.is_empty() && !self.ended && self.pieces.is_empty() && !self.pieces.is_closed()
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Broken(problem)) => return Err(io::Error::other(problem)),
                // A body whose end did not come must not be taken for a whole one.
                None => return Err(io::Error::other(Problem::unavailable("the service stops: send it again", 1))),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// Begins to pass on a body. `form_headers` are the headers of a form whose part `file` is the body.
pub(super) fn pass_on(payload: Payload, form_headers: Option<HeaderMap>, settings: &BatchSettings) -> Body {
    let (sender, pieces) = mpsc::channel(PIECES);
    let passing = Passing {
        sender,
        stall_timeout: Duration::from_millis(settings.stall_timeout_ms),
        left: settings.max_body_bytes,
        max_body_bytes: settings.max_body_bytes,
    };
    actix_web::rt::spawn(passing.run(payload, form_headers));
    Body { pieces, current: Bytes::new(), ended: false }
}

struct Passing {
    sender: mpsc::Sender<Piece>,
    stall_timeout: Duration,
    left: u64,
    max_body_bytes: u64,
}

/// The most parts of a form: one is of use, and browsers add a few.
const MOST_PARTS: usize = 100;

/// The reader has ended, and knows why.
struct ReaderEnded;

impl Passing {
    async fn run(mut self, payload: Payload, form_headers: Option<HeaderMap>) {
        let last = match form_headers {
            None => {
                let mut payload = payload;
                let passed = self.pass(&mut payload, false).await;
                self.end(payload, &passed).await;
                passed
            }
            Some(headers) => {
                let mut form = Multipart::new(&headers, payload);
                let passed = self.pass_file(&mut form).await;
                self.end(form, &passed).await;
                passed
            }
        };
        if let Ok(last) = last {
            // The reader may have ended by now.
            let _ = self.sender.send(last).await;
        }
    }

    /// Sees to what is left of a body that was not passed on to its end.
    async fn end(&self, mut rest: impl Stream + Unpin + 'static, passed: &Result<Piece, ReaderEnded>) {
        if passed.is_err() {
            // Most senders read the response, with the reason for this, only when they have sent everything.
            let _ = tokio::time::timeout(self.stall_timeout, async { while rest.next().await.is_some() {} }).await;
        }
        if !matches!(passed, Ok(Piece::End)) {
            close_behind(rest);
        }
    }

    /// Passes on everything, or passes it over, and returns how it ended.
    async fn pass<E: Display>(
        &mut self,
        pieces: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
        over: bool,
    ) -> Result<Piece, ReaderEnded> {
        let mut since_least = 0;
        let mut waited = Duration::ZERO;
        loop {
            // Only time in which the sender is waited for counts, not time in which it has to wait.
            let began = Instant::now();
            let Ok(next) = tokio::time::timeout(self.stall_timeout.saturating_sub(waited), pieces.next()).await else {
                let timeout_ms = self.stall_timeout.as_millis();
                return Ok(Piece::Broken(too_slow(format!(
                    "at least {LEAST} bytes must arrive within {timeout_ms} ms: send it again"
                ))));
            };
            waited += began.elapsed();
            let bytes = match next {
                None => return Ok(Piece::End),
                Some(Ok(bytes)) => bytes,
                Some(Err(_)) => {
                    return Ok(Piece::Broken(Problem::malformed("the body broke off before its end: send it again")));
                }
            };
            let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
                let most = self.max_body_bytes;
                return Ok(Piece::Broken(too_large(format!("a batch may have at most {most} bytes: send two"))));
            };
            self.left = left;
            since_least += bytes.len();
            if since_least >= LEAST {
                (since_least, waited) = (0, Duration::ZERO);
            }
            if !over {
                self.sender.send(Piece::Bytes(bytes)).await.map_err(|_| ReaderEnded)?;
            }
        }
    }

    /// Passes on the part `file` of a form; others are passed over.
    async fn pass_file(&mut self, form: &mut Multipart) -> Result<Piece, ReaderEnded> {
        let unreadable = || Problem::malformed("the form cannot be read: send multipart/form-data with a part 'file'");
        let mut found = false;
        for _ in 0..MOST_PARTS {
            let Ok(next) = tokio::time::timeout(self.stall_timeout, form.next()).await else {
                return Ok(Piece::Broken(too_slow("the form did not go on: send it again".to_owned())));
            };
            let mut part = match next {
                None if found => return Ok(Piece::End),
                None => return Ok(Piece::Broken(Problem::malformed("the form has no part 'file': name the file so"))),
                Some(Ok(part)) => part,
                Some(Err(_)) => return Ok(Piece::Broken(unreadable())),
            };
            let is_file = part.name() == Some("file");
            if is_file && found {
                let problem = Problem::malformed("the form has two parts 'file', and only the first was read");
                return Ok(Piece::Broken(problem));
            }
            found |= is_file;
            match self.pass(&mut part, !is_file).await? {
                Piece::End => {}
                broken => return Ok(broken),
            }
        }
        Ok(Piece::Broken(Problem::malformed(format!("the form has more than {MOST_PARTS} parts: send 'file' alone"))))
    }
}
