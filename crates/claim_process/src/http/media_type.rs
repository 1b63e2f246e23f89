//! What kind of body a request has, by its headers: which kinds are read here, and how they are packed.

use crate::domain::raw_claim::RawClaim;
use crate::intake::batch_input::BatchFormat;
use crate::intake::{Malformed, ReadLimits, read_csv, read_json};
use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{AsHeaderName, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use service_runtime::problem::Problem;

const JSON_LINES: [&str; 3] = ["application/x-ndjson", "application/ndjson", "application/jsonl"];
const FORM: &str = "multipart/form-data";

/// How one claim is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    /// Not named, or what `curl --data` names by itself: the first character tells.
    Unnamed,
}

impl Format {
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        if content_encoding(request).is_some_and(|encoding| encoding != "identity") {
            return Err(unsupported(
                "send the claim as it is; POST /v1/claims/batch also takes what is packed with gzip",
            ));
        }
        match content_type(request).as_deref() {
            Some("application/json") => Ok(Format::Json),
            Some("text/csv") => Ok(Format::Csv),
            None | Some("application/x-www-form-urlencoded") => Ok(Format::Unnamed),
            Some(_) => Err(unsupported(
                "send application/json or text/csv, and say so in Content-Type; POST /v1/claims/batch also takes JSON Lines \
                 and forms",
            )),
        }
    }

    pub fn read(self, body: &[u8], limits: ReadLimits) -> Result<RawClaim, Problem> {
        let form = match self {
            Format::Json => read_json(body, limits),
            Format::Csv => read_csv(body, limits),
            Format::Unnamed => match body
                .strip_prefix("\u{feff}".as_bytes())
                .unwrap_or(body)
                .iter()
                .find(|byte| !byte.is_ascii_whitespace())
            {
                Some(b'{' | b'[') => read_json(body, limits),
                _ => read_csv(body, limits),
            },
        };
        form.map_err(|Malformed(detail)| Problem::malformed(detail))
    }
}

/// How a batch was sent.
#[derive(Debug)]
pub(super) struct BatchMedia {
    /// `None`: the first character tells.
    pub format: Option<BatchFormat>,
    /// The headers of a form whose part `file` is the batch.
    pub form_headers: Option<HeaderMap>,
}

impl BatchMedia {
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let encoding = content_encoding(request);
        if !matches!(encoding.as_deref(), None | Some("identity" | "gzip" | "x-gzip")) {
            return Err(unsupported("send the batch as it is, or packed with gzip"));
        }
        let kind = content_type(request);
        if kind.as_deref() == Some(FORM) && !matches!(encoding.as_deref(), None | Some("identity")) {
            return Err(unsupported("send the form as it is; the file in it may be packed with gzip"));
        }
        let format = match kind.as_deref() {
            Some("application/json") => Some(BatchFormat::JsonArray),
            Some(kind) if JSON_LINES.contains(&kind) => Some(BatchFormat::JsonLines),
            Some("text/csv") => Some(BatchFormat::Csv),
            // What browsers name for a file, and curl for any body, tells nothing.
            None | Some(FORM | "application/gzip" | "application/x-www-form-urlencoded") => None,
            Some(_) => {
                return Err(unsupported(
                    "send application/json, application/x-ndjson, text/csv, or multipart/form-data with a part 'file', \
                     and say so in Content-Type",
                ));
            }
        };
        let form_headers = (kind.as_deref() == Some(FORM)).then(|| request.headers().clone());
        Ok(Self { format, form_headers })
    }
}

/// Whether the body can be nothing but a batch.
pub(super) fn is_always_a_batch(request: &HttpRequest) -> bool {
    content_type(request).is_some_and(|kind| kind == FORM || JSON_LINES.contains(&kind.as_str()))
}

/// A kind of body that is not read.
fn unsupported(detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "This kind of body is not read here", detail)
}

/// The kind of body, in lower case and without its parameters.
fn content_type(request: &HttpRequest) -> Option<String> {
    header(request, CONTENT_TYPE).map(|value| value.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
}

/// How the body is packed, in lower case.
fn content_encoding(request: &HttpRequest) -> Option<String> {
    header(request, CONTENT_ENCODING).map(|value| value.trim().to_ascii_lowercase())
}

/// The text of a header; one that is no text is sent, and names nothing that is read.
fn header(request: &HttpRequest, name: impl AsHeaderName) -> Option<&str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or("?"))
}
