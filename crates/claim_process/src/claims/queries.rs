//! What is stored, for those who read it. Each function blocks and makes one consistent read.

use crate::db::{agreement, claims, provider_totals, reconciliation};
use claim_events::ClaimId;
use dual_db::{Database, Result};

pub use crate::db::agreement::{Agreement, Each, Pair};
pub use crate::db::claims::{LineRow, ListFilter, StoredClaim};
pub use crate::db::provider_totals::ProviderTotal;
pub use crate::db::reconciliation::{Reconciliation, Sum, Waiting};

/// What is read, and when: microseconds since 1970 by the database's clock.
#[derive(Debug)]
pub struct AsOf<T> {
    /// What is read.
    pub value: T,
    /// When.
    pub now_us: i64,
}

/// A claim by its public id.
///
/// # Errors
/// The database's, here and below.
pub fn find_claim(database: &Database, claim_id: &ClaimId) -> Result<Option<StoredClaim>> {
    database.read(|connection| claims::find(connection, claim_id.as_str()))
}

/// Up to `limit` claims, newest first.
pub fn list_claims(database: &Database, filter: &ListFilter, limit: i64) -> Result<Vec<StoredClaim>> {
    database.read(|connection| claims::list(connection, filter, limit))
}

/// Up to `limit` providers with the highest totals, highest first.
pub fn top_providers(database: &Database, limit: i64) -> Result<AsOf<Vec<ProviderTotal>>> {
    database
        .read(|connection| Ok(AsOf { value: provider_totals::top(connection, limit)?, now_us: connection.now_us()? }))
}

/// What was submitted against what became of it, and what must agree, from one snapshot.
pub fn reconcile(database: &Database) -> Result<AsOf<(Reconciliation, Vec<Agreement>)>> {
    database.read(|connection| {
        connection.snapshot(|connection| {
            let now_us = connection.now_us()?;
            Ok(AsOf { value: (reconciliation::compute(connection)?, agreement::compare(connection)?), now_us })
        })
    })
}
