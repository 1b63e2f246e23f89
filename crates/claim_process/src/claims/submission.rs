//! A claim on its way into the database, and what became of it.

use crate::db::claims::StoredClaim;
use crate::db::duplicates::ContentDigest;
use crate::domain::canonical::canonical;
use crate::domain::claim::Claim;
use crate::domain::finding::Finding;
use crate::domain::rules::likely_duplicate::DuplicateCheck;
use claim_events::ClaimId;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// A claim on its way into the database.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its id, fixed before the first try.
    pub claim_id: ClaimId,
    /// The claim.
    pub claim: Claim,
    /// What its sender is warned about.
    pub warnings: Vec<Finding>,
    /// By what it is compared with the claims that are stored, where it is.
    pub duplicate_check: Option<DuplicateCheck>,
    /// The sender's key and the hash of the body it came with.
    pub idempotency: Option<IdempotencyKey>,
    /// The request it came with.
    pub origin: Origin,
}

impl Submission {
    /// Its own id.
    pub fn id(&self) -> &str {
        self.claim_id.as_str()
    }

    /// The sender's own id of the claim.
    pub fn external_id(&self) -> Option<&str> {
        self.claim.external_claim_id.as_ref().map(|id| id.as_str())
    }

    /// The canonical form of [`external_id`](Self::external_id), by which it is compared.
    pub fn external_key(&self) -> Option<Cow<'_, str>> {
        self.external_id().map(canonical)
    }

    /// The digest of its content, where it is compared with other claims.
    pub fn digest(&self) -> Option<&ContentDigest> {
        self.duplicate_check.as_ref().map(|check| &check.digest)
    }
}

/// The request that a claim came with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The id of the request.
    pub correlation_id: String,
    /// The trace it belongs to, as in the header `traceparent`.
    pub traceparent: Option<String>,
}

/// A sender's key and the hash of the body it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The sender's `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of the body, in hex.
    pub body_hash: String,
}

impl IdempotencyKey {
    /// The key of a claim that is sent alone.
    pub fn of_body(key: String, body: &[u8]) -> Self {
        Self { key, body_hash: format!("{:x}", Sha256::digest(body)) }
    }

    /// The key of one claim of a batch.
    pub fn of_batch(key: &str, index: u64, body_hash: String) -> Self {
        Self { key: Self::name_in_batch(key, index), body_hash }
    }

    /// The key of an index of a batch. No sender can send it: a header holds no line break.
    pub fn name_in_batch(key: &str, index: u64) -> String {
        format!("{key}\n{index}")
    }
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// It is stored.
    Accepted(Box<StoredClaim>),
    /// The same request was answered before: this claim.
    Replayed(Box<StoredClaim>),
    /// The key was used with another body.
    KeyReused,
    /// It has the content of this active claim, and is refused for that.
    LikelyDuplicate {
        /// The active claim.
        claim_id: String,
    },
    /// The sender's own id belongs to this claim.
    ExternalIdTaken {
        /// The claim that has it.
        claim_id: String,
    },
}

#[cfg(test)]
mod tests {
    use super::IdempotencyKey;

    #[test]
    fn each_place_of_each_batch_has_a_key_of_its_own() {
        let name = IdempotencyKey::name_in_batch;
        assert_ne!(name("a", 11), name("a1", 1));
        assert_ne!(name("a1", 10), name("a11", 0));
        assert_ne!(name("a", 11), "a11", "a single claim's key is no place of a batch");
        let of_batch = IdempotencyKey::of_batch("a", 11, "hash".to_owned());
        assert_eq!((of_batch.key, of_batch.body_hash.as_str()), (name("a", 11), "hash"));
    }
}
