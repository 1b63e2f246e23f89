//! Claims by their state, in counts and cents, computed in the database.

use super::schema::claims;
use crate::domain::transition::Status;
use claim_events::{CLAIM_TOPIC, Envelope};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use dual_db::{Connection, Result, on_each_backend};
use std::collections::HashMap;

/// The most claims that need attention that are listed.
pub const MOST_NAMED: i64 = 20;

/// A number of claims and the sum of their net fees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Sum {
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub claims: i64,
    /// The sum of their net fees, in cents.
    #[diesel(sql_type = BigInt)]
    pub cents: i64,
}

impl std::ops::Add for Sum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { claims: self.claims + other.claims, cents: self.cents + other.cents }
    }
}

impl std::ops::Sub for Sum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { claims: self.claims - other.claims, cents: self.cents - other.cents }
    }
}

/// The claims by their state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Accepted.
    pub submitted: Sum,
    /// Of these, those whose `claim.submitted` is not in the outbox: Kafka has acknowledged it, each time it was published. If
    /// Kafka loses its data, that is not known here: a claim counts as published until it is re-published.
    pub published: Sum,
    /// The others. A re-published claim is one of them until Kafka has acknowledged that as well. In a database that was
    /// restored from a backup, so is each claim that was in the outbox when the backup was made.
    pub unpublished: Sum,
    /// When the oldest of their events was written to the outbox, in microseconds since 1970.
    pub unpublished_since_us: Option<i64>,
    /// Paid.
    pub settled: Sum,
    /// Not paid, or paid back.
    pub unwound: Sum,
    /// Neither settled nor unwound yet.
    pub pending: Sum,
    /// An operator should look at them: the outcome is overdue, or the payment is stuck.
    pub needs_attention: Sum,
    /// The first of these, those that wait the longest: at most [`MOST_NAMED`].
    pub needing_attention: Vec<Waiting>,
    /// When the oldest pending claim was submitted or voided, in microseconds since 1970.
    pub pending_since_us: Option<i64>,
}

/// A claim that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Waiting {
    /// Its id.
    #[diesel(sql_type = Text)]
    pub claim_id: String,
    /// Its status, as stored: an unknown one must not hide the others.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// Its net fee, in cents.
    #[diesel(sql_type = BigInt)]
    pub net_fee_cents: i64,
    /// How often its outcome was re-requested.
    #[diesel(sql_type = BigInt)]
    pub request_count: i64,
    /// When it was submitted or voided, in microseconds since 1970.
    #[diesel(sql_type = BigInt)]
    pub since_us: i64,
    /// Whether its outcome was re-requested so often that an operator should look.
    #[diesel(sql_type = Bool)]
    pub outcome_overdue: bool,
    /// Why its payment needs a person, where it does.
    #[diesel(sql_type = Nullable<Text>)]
    pub payment_attention: Option<String>,
}

#[derive(QueryableByName)]
struct ByStatus {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(embed)]
    all: Sum,
    #[diesel(sql_type = BigInt)]
    attention_claims: i64,
    #[diesel(sql_type = BigInt)]
    attention_cents: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    oldest_us: Option<i64>,
}

const BY_STATUS: &str = "SELECT status, COUNT(*) AS claims, CAST(SUM(net_fee_cents) AS BIGINT) AS cents,
    COUNT(CASE WHEN needs_attention THEN 1 END) AS attention_claims,
    CAST(COALESCE(SUM(CASE WHEN needs_attention THEN net_fee_cents END), 0) AS BIGINT) AS attention_cents,
    MIN(COALESCE(voided_at_us, submitted_at_us)) AS oldest_us
    FROM claims GROUP BY status";

const NEEDING_ATTENTION: &str =
    "SELECT claim_id, status, net_fee_cents, request_count, outcome_overdue, payment_attention,
    COALESCE(voided_at_us, submitted_at_us) AS since_us
    FROM claims WHERE needs_attention ORDER BY since_us, claim_id LIMIT $1";

/// Claims whose first event is in the outbox or could not be published, and when the oldest of these events was written. The
/// claim's own row does not show that: it may have been voided or re-published before its first event was acknowledged.
fn unpublished(connection: &mut Connection) -> Result<(Sum, Option<i64>)> {
    // The id of a claim's first event, after the claim's id.
    let first_event = Envelope::derive_id("", "claim.submitted", 1);
    let (mut all, mut oldest_us) = (Sum::default(), None);
    event_bus::for_each_waiting_key(connection, CLAIM_TOPIC, &first_event, |connection, keys| {
        let since_us: HashMap<&str, i64> = keys.iter().map(|(key, since_us)| (key.as_str(), *since_us)).collect();
        let found: Vec<(String, i64)> = on_each_backend!(connection, |c| {
            claims::table
                .filter(claims::claim_id.eq_any(since_us.keys()))
                .select((claims::claim_id, claims::net_fee_cents))
                .load(c)
        })?;
        for (claim_id, cents) in found {
            all = all + Sum { claims: 1, cents };
            oldest_us = oldest_us.into_iter().chain(since_us.get(claim_id.as_str()).copied()).min();
        }
        Ok(())
    })?;
    Ok((all, oldest_us))
}

/// Computes the reconciliation. Call it in one transaction, so that all numbers are from one snapshot.
pub fn compute(connection: &mut Connection) -> Result<Reconciliation> {
    let rows: Vec<ByStatus> = on_each_backend!(connection, |c| sql_query(BY_STATUS).load(c))?;
    let (unpublished, unpublished_since_us) = unpublished(connection)?;
    let mut found = Reconciliation {
        needing_attention: on_each_backend!(connection, |c| {
            sql_query(NEEDING_ATTENTION).bind::<BigInt, _>(MOST_NAMED).load(c)
        })?,
        unpublished,
        unpublished_since_us,
        ..Reconciliation::default()
    };
    for row in rows {
        found.submitted = found.submitted + row.all;
        found.needs_attention =
            found.needs_attention + Sum { claims: row.attention_claims, cents: row.attention_cents };
        match row.status.parse() {
            Ok(Status::Settled) => found.settled = row.all,
            Ok(Status::Unwound) => found.unwound = row.all,
            Ok(Status::Submitted | Status::VoidRequested) => {
                found.pending = found.pending + row.all;
                found.pending_since_us = found.pending_since_us.into_iter().chain(row.oldest_us).min();
            }
            // An unknown status: a comparison of `agreement` reports it.
            Err(_) => {}
        }
    }
    found.published = found.submitted - found.unpublished;
    Ok(found)
}
