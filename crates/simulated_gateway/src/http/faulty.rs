//! Responds to a request by its outcome: with the response, with a damaged one, or with the error of a random fault.

use super::broken_responses::{lose_response, truncate_response};
use super::problems::{self, RETRY_AFTER_S};
use crate::domain::faults::{Outcome, RequestFault, ResponseFault};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use service_runtime::problem::Problem;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicI64, Ordering};

/// The number of counters of look-ups.
const COUNTS: usize = 4_096;

/// Counts the look-ups of references since the start. References may share a counter: it only needs to increase with each
/// look-up, so that a repeated one does not get the same fault forever.
#[derive(Debug)]
pub(crate) struct LookUpCounts(Box<[AtomicI64]>);

impl LookUpCounts {
    /// Counters of zero.
    pub fn new() -> Self {
        Self((0..COUNTS).map(|_| AtomicI64::new(0)).collect())
    }

    /// Counts a look-up and returns its number, counted from 1.
    pub fn count(&self, reference: &str) -> i64 {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(reference);
        let index = usize::try_from(hash % COUNTS as u64).unwrap_or(0);
        self.0[index].fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Responds to a request by its outcome; `render` makes the HTTP response.
pub(super) fn respond<A>(
    outcome: Outcome<A>,
    render: impl FnOnce(A) -> Result<HttpResponse, Problem>,
) -> Result<HttpResponse, Problem> {
    if let Some(fault) = outcome.fault() {
        metrics::counter!("gateway_faults_total", "fault" => fault).increment(1);
    }
    match outcome {
        Outcome::Processed(response) => render(response),
        Outcome::Damaged(_, ResponseFault::Lost) | Outcome::NotProcessed(RequestFault::Lost) => Ok(lose_response()),
        Outcome::Damaged(response, ResponseFault::Truncated) => {
            Ok(truncate_response(render(response).unwrap_or_else(|problem| problem.error_response())))
        }
        Outcome::NotProcessed(RequestFault::InternalError) => Err(Problem::internal()),
        Outcome::NotProcessed(RequestFault::Unavailable) => {
            Err(Problem::unavailable("the gateway is unavailable: send the same request again", RETRY_AFTER_S))
        }
        Outcome::NotProcessed(RequestFault::TooManyRequests) => Err(too_many()),
        Outcome::NotProcessed(RequestFault::Unauthorized) => Err(problems::unauthorized()),
    }
}

/// 429: the request was not processed.
pub(super) fn too_many() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests",
        "the gateway throttles your requests: send the same one again",
    )
    .retry_after(RETRY_AFTER_S)
}
