//! What a check finds.

use std::collections::BTreeMap;
use std::fmt;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A claim that was answered with 2xx is stored.
    NotLost,
    /// An attempt is stored once, under one id.
    NotDoubled,
    /// A stored claim has the content that was sent, whole.
    Unchanged,
    /// A claim that was only refused is not stored.
    RefusedIsAbsent,
    /// Each stored claim was sent by a client.
    WasSent,
    /// Each claim has ended, as its content and its voids demand.
    RightEnd,
    /// What a client reads of a claim never goes back: neither its status nor the version of its outcome.
    ReadsAdvance,
    /// The gateway paid each claim once or not at all: the net fee of a settled one, nothing for others.
    PaidOnce,
    /// The ledger's cash is the gateway's book, claim by claim.
    CashIsBook,
    /// Each transfer is of two accounts and above zero, each pending one is ended once, and each is reversed at most once.
    LedgerIsSound,
    /// A provider's total is the sum of its claims that are not unwound.
    TotalsAreSums,
    /// Each event is about a stored claim, and of no later version than the claim's.
    EventHasClaim,
    /// The same event always says the same.
    EventIsOne,
    /// What was answered or published is in a journal, unchanged.
    Journaled,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What it does not hold for: a claim, a key, a provider or a transfer.
    pub of: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.rule, self.of, self.found)
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// What was counted, by name.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Report {
    pub(crate) fn violation(&mut self, rule: Rule, of: &str, found: impl Into<String>) {
        self.violations.push(Violation { rule, of: of.to_owned(), found: found.into() });
    }

    pub(crate) fn count(&mut self, what: &'static str, more: usize) {
        *self.counts.entry(what).or_default() += more as u64;
    }

    /// The number of violations of a rule.
    pub fn of(&self, rule: Rule) -> usize {
        self.violations.iter().filter(|violation| violation.rule == rule).count()
    }
}
