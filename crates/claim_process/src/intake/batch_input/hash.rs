//! The hash by which a claim that is sent again is known to be the same.

use sha2::{Digest, Sha256};

/// SHA-256 of parts that are told apart.
#[derive(Default)]
pub(super) struct Hash(Sha256);

impl Hash {
    pub(super) fn of(whole: &[u8]) -> String {
        let mut hash = Self::default();
        hash.add(whole);
        hash.in_hex()
    }

    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(part);
    }

    pub(super) fn in_hex(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}
