//! What the stores hold at the end of a run.

use crate::history::Content;
use serde::{Deserialize, Serialize};

/// What the stores hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// claim_process' claims.
    pub claims: Vec<Claim>,
    /// claim_process' totals of providers.
    pub totals: Vec<ProviderTotal>,
    /// payments' ledger.
    pub transfers: Vec<Transfer>,
    /// The gateway's own book.
    pub book: Vec<BookEntry>,
    /// What is on the topics; `None` where a run deleted topics, so that nothing can be concluded from them.
    pub events: Option<Vec<Event>>,
    /// The records of all journals; `None` where there is no journal.
    pub journal: Option<Vec<JournalRecord>>,
}

/// A claim as claim_process stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its public id.
    pub id: String,
    /// Its content.
    pub content: Content,
    /// `submitted`, `settled`, `void_requested` or `unwound`.
    pub status: String,
    /// The version of its current event: 1, or 2 once it is voided.
    pub version: i64,
    /// The version of its outcome; 0 without one.
    pub outcome_version: i64,
}

/// A provider's total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderTotal {
    /// The provider.
    pub provider_npi: String,
    /// The net fees of its claims that are not unwound.
    pub net_fee_cents: i64,
    /// How many claims those are.
    pub claims: i64,
}

/// Whether a transfer moves money, or only reserves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It reserves, until another transfer ends it.
    Pending,
    /// It moves money.
    Posted,
    /// It ends a pending one without moving money.
    Void,
}

/// A transfer of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its id.
    pub id: String,
    /// The claim that it is for.
    pub claim_id: String,
    /// The account that is debited.
    pub debit: String,
    /// The account that is credited.
    pub credit: String,
    /// Above 0.
    pub amount_cents: i64,
    /// Whether it moves money.
    pub weight: Weight,
    /// The pending transfer that it ends.
    pub ends_pending: Option<String>,
    /// The transfer that it reverses.
    pub reverses: Option<String>,
}

/// Where the gateway's money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A payment.
    Out,
    /// A refund or a return.
    Back,
}

/// An entry of the gateway's own book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookEntry {
    /// The claim that it is for.
    pub reference: String,
    /// Where the money goes.
    pub direction: Direction,
    /// Above 0.
    pub amount_cents: i64,
}

/// A message on a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its derived id.
    pub id: String,
    /// As `claim.submitted`.
    pub kind: String,
    /// The claim that it is about.
    pub claim_id: String,
    /// The version of its aggregate.
    pub version: i64,
    /// What it says, without what may differ when it is published again (the known outcome and the resync epoch).
    pub content: String,
}

/// A record of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// The claim that it is about.
    pub claim_id: String,
    /// The version of the claim's event that it makes true; 0 for a record of an outcome.
    pub version: i64,
    /// The claim's content, where it holds it.
    pub content: Option<Content>,
}
