//! What was submitted against what became of it, in counts and cents, computed in the database from one snapshot of it.

use crate::domain::transition::Status;
use claim_events::CLAIM_TOPIC;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use dual_db::{Connection, Result, on_each_backend};

/// So many claims, worth so much.
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

/// All of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Accepted.
    pub submitted: Sum,
    /// Of these, those whose event Kafka has acknowledged.
    pub published: Sum,
    /// Paid.
    pub settled: Sum,
    /// Not paid, or paid back.
    pub unwound: Sum,
    /// Neither yet.
    pub pending: Sum,
    /// Asked for so often that somebody should look.
    pub needs_attention: Sum,
    /// The sum of the providers' totals.
    pub provider_totals: Sum,
    /// How long the oldest pending claim waits, in microseconds.
    pub oldest_pending_age_us: Option<i64>,
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

const PROVIDER_TOTALS: &str = "SELECT CAST(COALESCE(SUM(claims), 0) AS BIGINT) AS claims,
    CAST(COALESCE(SUM(net_fee_cents), 0) AS BIGINT) AS cents FROM provider_totals";

/// Claims whose first event still waits in the outbox. One that was asked for again went out before.
fn unpublished() -> String {
    format!(
        "SELECT COUNT(*) AS claims, CAST(COALESCE(SUM(net_fee_cents), 0) AS BIGINT) AS cents FROM claims
         WHERE times_asked = 0 AND ask = 0 AND version = 1 AND outcome_version IS NULL AND claim_id IN ({})",
        event_bus::KEYS_WAITING_IN_TOPIC
    )
}

/// Computes it. Call it in one transaction for numbers that belong together.
pub fn compute(connection: &mut Connection, now_us: i64) -> Result<Reconciliation> {
    let rows: Vec<ByStatus> = on_each_backend!(connection, |c| sql_query(BY_STATUS).load(c))?;
    let unpublished: Sum =
        on_each_backend!(connection, |c| sql_query(unpublished()).bind::<Text, _>(CLAIM_TOPIC).get_result(c))?;
    let mut found = Reconciliation {
        provider_totals: on_each_backend!(connection, |c| sql_query(PROVIDER_TOTALS).get_result(c))?,
        ..Reconciliation::default()
    };
    for row in rows {
        found.submitted = found.submitted + row.all;
        found.needs_attention =
            found.needs_attention + Sum { claims: row.attention_claims, cents: row.attention_cents };
        match Status::parse(&row.status) {
            Some(Status::Settled) => found.settled = row.all,
            Some(Status::Unwound) => found.unwound = row.all,
            _ => {
                found.pending = found.pending + row.all;
                let age_us = row.oldest_us.map(|oldest_us| now_us - oldest_us);
                found.oldest_pending_age_us = found.oldest_pending_age_us.max(age_us);
            }
        }
    }
    found.published =
        Sum { claims: found.submitted.claims - unpublished.claims, cents: found.submitted.cents - unpublished.cents };
    Ok(found)
}
