//! The bounds of a search: the claim, the gateway's verdicts, how often each fault may occur, and the rule that is left out.

/// The verdicts that the gateway may give on the first payment request; several may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdicts {
    /// It pays the requested amount.
    pub approve: bool,
    /// It declines.
    pub decline: bool,
    /// It pays another amount.
    pub other_amount: bool,
}

/// Whether the plan's budget covers the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Always.
    Covers,
    /// Never.
    Lacks,
    /// Either, at each check.
    Either,
}

/// A rule of the protocol that is left out or inverted. Each variant describes the faulty behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A look-up that finds no payment proves that none was made: the saga unwinds.
    NotFoundIsProof,
    /// A restored database gets no restore marker.
    RestoreWithoutMarker,
    /// A restored database is marked as created, not restored: its sagas act before a later resync epoch arrives.
    ActsBeforeReannounced,
    /// claim_process applies outcomes that echo an older resync epoch.
    OlderEchoesCount,
    /// payments applies events with a lower resync epoch than the highest it has seen.
    LowerEpochsCount,
    /// Events carry no known outcome.
    KnownOutcomeDropped,
    /// payments does not re-publish its own unwinding with a version above a settlement that claim_process knows.
    UnwoundNotRaised,
    /// The version of an outcome is payments' own plus one, whatever claim_process knows.
    OutcomeBelowKnown,
    /// An unsolicited outcome is published only once.
    UnsolicitedPublishedOnce,
    /// A settlement answers a void.
    SettlementAnswersVoid,
    /// Answers are written under any revision, those to look-ups too.
    StaleAnswersWritten,
    /// A return that arrives before the approval is recorded is acknowledged and dropped.
    EarlyReturnIgnored,
    /// A void drops an intent whose answer is not known.
    VoidDropsIntent,
    /// The deadline applies to a payment that may have been requested from the gateway.
    DeadlineDropsIntent,
    /// A payment is retried under a new key.
    RetryUnderNewKey,
    /// claim_process never re-publishes the event of a pending claim.
    NoRepublishing,
    /// The operator does not run `reannounce` after a restore.
    NotReannounced,
    /// An unwinding known to claim_process does not win over payments' own state.
    KnownUnwoundIgnored,
    /// The outcome in a restored copy proves that no payment was made.
    OwnOutcomeIsProof,
    /// An unwinding in a restored copy that claim_process does not know is still a reason to refund the payment.
    OwnOutcomeUnwindsPayment,
    /// What claim_process knew under an older resync epoch still counts.
    OlderKnowledgeCounts,
    /// An unwinding in a restored copy is published under its old version although claim_process knows another unwinding.
    RestoredUnwoundNotRaised,
    /// A duplicate message ends the re-publishing of an unsolicited outcome.
    DuplicateEndsRepublishing,
    /// The restore marker is not later than every earlier resync epoch, as when the clocks of the databases differ.
    MarkerNotLater,
}

/// The bounds of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// The claim's net fee, in cents.
    pub amount_cents: i64,
    /// The verdicts that the gateway may give.
    pub verdicts: Verdicts,
    /// Whether the budget covers the claim.
    pub budget: Budget,
    /// Whether payments' database was created after the claim was submitted.
    pub created_later: bool,
    /// How often the sender may void the claim.
    pub voids: u8,
    /// How often the bank may return a payment.
    pub returns: u8,
    /// Whether a refund may fail after it was approved, once.
    pub refund_may_fail: bool,
    /// How often topics may be wiped, one or both at a time.
    pub wipes: u8,
    /// How often payments' database may be lost or restored from a copy.
    pub payments_restores: u8,
    /// How often claim_process's database may be restored from a copy.
    pub claim_restores: u8,
    /// How often an operator may run `reannounce` without need.
    pub extra_resyncs: u8,
    /// Whether messages may arrive after the claim's deadline.
    pub late_messages: bool,
    /// How many copies of payments' database may be kept at once.
    pub copies: u8,
    /// Whether messages that both services will always ignore stay in the topics. More states, no further findings.
    pub keep_stale: bool,
    /// The rule that is left out.
    pub mutant: Option<Mutant>,
    /// The number of states at which the search gives up.
    pub max_states: usize,
}

impl Default for Params {
    /// A claim of 100 cents, every verdict, and no faults but those that are not counted: duplicates, reordering, slow
    /// requests, lost answers and crashes.
    fn default() -> Self {
        Self {
            amount_cents: 100,
            verdicts: Verdicts { approve: true, decline: true, other_amount: true },
            budget: Budget::Either,
            created_later: false,
            voids: 0,
            returns: 0,
            refund_may_fail: false,
            wipes: 0,
            payments_restores: 0,
            claim_restores: 0,
            extra_resyncs: 0,
            late_messages: false,
            copies: 1,
            keep_stale: false,
            mutant: None,
            max_states: 30_000_000,
        }
    }
}

impl Params {
    /// Whether a rule is left out.
    pub fn lacks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
