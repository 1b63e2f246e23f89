//! What a search covers: the claim, the gateway's verdicts, how often what may go wrong, and the rule that is left out.

/// What the gateway may say to the first request to pay; several may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdicts {
    /// It pays what it was asked to.
    pub approve: bool,
    /// It declines.
    pub decline: bool,
    /// It pays another amount.
    pub other_amount: bool,
}

/// Whether the plan's budget covers the claim whenever that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Always.
    Covers,
    /// Never.
    Lacks,
    /// Now so, now so.
    Either,
}

/// A rule of the protocol, left out or turned round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A payment that a look-up does not find was not made: the saga unwinds on it.
    NotFoundIsProof,
    /// A restored database is not marked.
    RestoreUnmarked,
    /// A restored database is marked as merely made: it acts before it is asked anew.
    ActsBeforeAsked,
    /// claim_process applies outcomes that echo an older resync epoch.
    OlderEchoesCount,
    /// payments hears events with a lower resync epoch than it has seen.
    LowerAsksCount,
    /// Events do not say which outcome is known.
    KnownOutcomeDropped,
    /// An unwinding of payments' own is not said again above a settlement that claim_process knows.
    UnwoundNotRaised,
    /// The version of an end is payments' own plus one, whatever claim_process knows.
    EndBelowKnown,
    /// An outcome nobody asked for is said once.
    UnaskedSaidOnce,
    /// A settlement answers a void.
    SettlementAnswersVoid,
    /// Answers are written whatever the revision, also what a look-up found.
    StaleAnswersWritten,
    /// A return that comes before the approval was recorded is acknowledged and forgotten.
    EarlyReturnIgnored,
    /// A void takes back an intent whose answer is not known.
    VoidDropsIntent,
    /// The deadline counts for a payment that the gateway may have been asked for.
    DeadlineDropsIntent,
    /// A payment that is tried again is tried under a new key.
    RetryUnderNewKey,
    /// claim_process does not ask again.
    NobodyAsksAgain,
    /// After a restore, nobody asks anew.
    NotReannounced,
    /// A known unwinding does not win over what payments has.
    KnownUnwoundIgnored,
    /// An end of a copy's own proves that no payment was made.
    OwnEndIsProof,
    /// An end of a copy's own that does not stand is still a reason to take the payment back.
    OwnEndUnwindsPayment,
    /// What claim_process knew before its last ask still counts.
    OlderKnowledgeCounts,
    /// An unwinding of a copy is said under its old version against a known unwinding.
    RestoredUnwoundNotRaised,
    /// A message that comes again ends the saying of an outcome nobody asked for.
    RepeatEndsSaying,
    /// The marker of a restored database is not later than every ask before it, as when the services' clocks differ.
    MarkNotLater,
}

/// What a search covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// What is due, in cents.
    pub amount_cents: i64,
    /// What the gateway may say.
    pub verdicts: Verdicts,
    /// Whether the budget covers the claim.
    pub budget: Budget,
    /// Whether payments' database was made after the claim was submitted.
    pub made_later: bool,
    /// How often the claim may be withdrawn.
    pub voids: u8,
    /// How often the bank may return a payment.
    pub returns: u8,
    /// How often topics may be wiped, one or both at a time.
    pub wipes: u8,
    /// How often payments' database may be put back to a copy, or lost.
    pub payments_restores: u8,
    /// How often claim_process's database may be put back to a copy.
    pub claim_restores: u8,
    /// How often an operator asks anew without need.
    pub extra_resyncs: u8,
    /// Whether any message may come after the claim's deadline.
    pub late_messages: bool,
    /// How many copies of payments' database may be kept at once.
    pub copies: u8,
    /// Whether messages that are ignored for good stay in the topics: more states, and nothing more to find.
    pub keep_stale: bool,
    /// The rule that is left out.
    pub mutant: Option<Mutant>,
    /// Where the search gives up.
    pub most_states: usize,
}

impl Default for Params {
    /// A hundred cents, whatever the gateway says, and nothing goes wrong but duplicates, reordering, slow requests,
    /// lost answers and crashes, which are not counted.
    fn default() -> Self {
        Self {
            amount_cents: 100,
            verdicts: Verdicts { approve: true, decline: true, other_amount: true },
            budget: Budget::Either,
            made_later: false,
            voids: 0,
            returns: 0,
            wipes: 0,
            payments_restores: 0,
            claim_restores: 0,
            extra_resyncs: 0,
            late_messages: false,
            copies: 1,
            keep_stale: false,
            mutant: None,
            most_states: 30_000_000,
        }
    }
}

impl Params {
    /// Whether a rule is left out.
    pub fn lacks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
