//! The mark of a database: when it was made, or restored from a copy. What happened before it may be missing from the
//! facts, so a saga written under another mark, and a claim from before it, is suspect until it was looked up.

use serde::{Deserialize, Serialize};

/// The mark of payments' database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// When, in microseconds since 1970 (UTC).
    pub at_us: i64,
    /// Whether the database was restored then: claim_process has to ask anew before anything suspect is touched, because
    /// messages from before the restore do not say what was known at its time.
    pub restored: bool,
}

impl Mark {
    /// Whether an ask (unix seconds) is later than a restore. In a database that was merely made, nobody need ask.
    pub fn is_answered_by(self, ask: i64) -> bool {
        !self.restored || ask.saturating_mul(1_000_000) > self.at_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ask_after_a_restore_answers_it() {
        let mark = Mark { at_us: 1_795_512_600_000_000, restored: true };
        assert!(!mark.is_answered_by(0) && !mark.is_answered_by(1_795_512_600) && mark.is_answered_by(1_795_512_601));
        assert!(Mark { restored: false, ..mark }.is_answered_by(0));
        assert!(mark.is_answered_by(i64::MAX));
    }
}
