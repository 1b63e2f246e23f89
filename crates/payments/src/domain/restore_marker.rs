//! The marker of a database: when it was made, or restored from a copy. What happened before it may be missing from the
//! facts, so a saga written under another marker, and a claim from before it, is unverified until it was looked up.

use serde::{Deserialize, Serialize};

/// The marker of payments' database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RestoreMarker {
    /// When, in microseconds since 1970 (UTC).
    pub at_us: i64,
    /// Whether the database was restored then: the claims have to be reannounced before anything unverified is touched,
    /// because messages from before the restore do not carry what was known at its time.
    pub restored: bool,
}

impl RestoreMarker {
    /// Whether a resync epoch (unix seconds) is later than a restore. A database that was merely created needs none.
    pub fn is_answered_by(self, resync_epoch: i64) -> bool {
        !self.restored || resync_epoch.saturating_mul(1_000_000) > self.at_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_epoch_after_a_restore_answers_it() {
        let marker = RestoreMarker { at_us: 1_795_512_600_000_000, restored: true };
        assert!(
            !marker.is_answered_by(0) && !marker.is_answered_by(1_795_512_600) && marker.is_answered_by(1_795_512_601)
        );
        assert!(RestoreMarker { restored: false, ..marker }.is_answered_by(0));
        assert!(marker.is_answered_by(i64::MAX));
    }
}
