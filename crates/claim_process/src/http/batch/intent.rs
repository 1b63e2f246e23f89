//! What the sender of a batch wants, and what it is told when that breaks off.

use service_runtime::problem::Problem;

/// How soon to send a batch again that broke off, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// Said of a batch that broke off because nobody reads its results.
pub(super) const RESULTS_UNREAD: &str = " because too many of its results wait to be read, so read them while you send";

/// What becomes of the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Purpose {
    /// They are stored.
    Store,
    /// They are only checked.
    Validate,
}

/// What the sender of a batch wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intent {
    pub purpose: Purpose,
    /// Whether there is a key with which the batch can be sent again without a second claim for any of its claims.
    pub keyed: bool,
}

impl Intent {
    /// The database is gone in the middle of a batch, or its results find no room, and `why` says more.
    pub fn broke_off(self, why: &str) -> Problem {
        let then = match self.purpose {
            Purpose::Validate => "send the whole again, nothing of it is stored",
            Purpose::Store if self.keyed => {
                "send the whole again with the same Idempotency-Key, and nothing is stored twice"
            }
            Purpose::Store => {
                "it came without an Idempotency-Key, and a claim that has no result may be stored all the same; look for it \
                 with GET /v1/claims before you send it again"
            }
        };
        Problem::unavailable(format!("the batch broke off here{why}: {then}"), RETRY_AFTER_S)
    }
}
