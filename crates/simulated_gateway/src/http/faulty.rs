//! How an answer goes out: as it should, damaged, or another one in its place, as chance had it.

use super::answers::COME_AGAIN_AFTER_S;
use super::broken::{halve_answer, lose_answer};
use crate::domain::faults::{Damage, Fared, Hindrance};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use service_runtime::problem::Problem;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicI64, Ordering};

/// How many counts there are of look-ups.
const COUNTS: usize = 4_096;

/// How often references were looked up, since the start. References may share a count: chance does not mind, as long as
/// nobody who asks again is drawn the same fault for ever.
#[derive(Debug)]
pub(crate) struct LookUps(Box<[AtomicI64]>);

impl LookUps {
    /// None so far.
    pub fn new() -> Self {
        Self((0..COUNTS).map(|_| AtomicI64::new(0)).collect())
    }

    /// Counts a look-up and returns which it is, from 1.
    pub fn count(&self, reference: &str) -> i64 {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(reference);
        let place = usize::try_from(hash % COUNTS as u64).unwrap_or(0);
        self.0[place].fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Answers a request as it fared; `word` puts what was done into words.
pub(super) fn answer<A>(
    fared: Fared<A>,
    word: impl FnOnce(A) -> Result<HttpResponse, Problem>,
) -> Result<HttpResponse, Problem> {
    if let Some(fault) = fared.fault() {
        metrics::counter!("gateway_faults_total", "fault" => fault).increment(1);
    }
    match fared {
        Fared::Answered(answer) => word(answer),
        Fared::Damaged(_, Damage::Lost) | Fared::Hindered(Hindrance::RequestLost) => Ok(lose_answer()),
        Fared::Damaged(answer, Damage::Halved) => {
            Ok(halve_answer(word(answer).unwrap_or_else(|problem| problem.error_response())))
        }
        Fared::Hindered(Hindrance::Broken) => Err(Problem::internal()),
        Fared::Hindered(Hindrance::Unavailable) => {
            Err(Problem::unavailable("the gateway is away: send the same request again", COME_AGAIN_AFTER_S))
        }
        Fared::Hindered(Hindrance::TooMany) => Err(too_many()),
    }
}

/// 429: nothing was done.
pub(super) fn too_many() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests",
        "the gateway takes no request of yours just now: send the same one again",
    )
    .retry_after(COME_AGAIN_AFTER_S)
}
