//! The statement that stores a group on PostgreSQL: keys, claims, lines, totals and outbox rows, with an array for each column. It
//! is one text for any group, so that it is prepared once, and a transaction by itself.

use super::claims::{LineRow, StoredClaim};
use super::duplicates::ContentDigest;
use super::idempotency::NewKey;
use super::provider_totals::{Changes, UpsertTotals};
use crate::domain::canonical::canonical;
use crate::domain::owner;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use dual_db::{Connection, Error, Result};
use event_bus::InsertRows;
use std::borrow::Cow;

/// A claim and the digest of its content, where it has one.
pub type NewClaim<'a> = (&'a StoredClaim, Option<&'a ContentDigest>);

/// Stores claims as they are submitted, all of them or none. The totals are those that they add. Returns the ids of the outbox
/// rows, in the order of `outbox`.
///
/// # Errors
/// The database's. [`Error::Conflict`] where a key, an own number or a claim is there already, and on SQLite, which has no such
/// statement.
pub fn insert_group(
    connection: &mut Connection,
    claims: &[NewClaim<'_>],
    keys: &[NewKey],
    totals: &Changes,
    outbox: InsertRows<'_>,
) -> Result<Vec<i64>> {
    let (Connection::Postgres(c), Some((first, _))) = (connection, claims.first()) else { return Err(Error::Conflict) };
    let statement = Statement {
        submitted_at_us: first.row.submitted_at_us,
        next_attempt_at_us: first.row.next_attempt_at_us,
        claims: ClaimColumns::of(claims),
        lines: LineColumns::of(claims),
        keys: KeyColumns::of(keys),
        totals: totals.upsert(),
        outbox,
    };
    let mut ids: Vec<i64> = statement.load(c).map_err(|error| match error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Error::Conflict,
        other => other.into(),
    })?;
    ids.sort_unstable();
    Ok(ids)
}

struct Statement<'a> {
    submitted_at_us: i64,
    next_attempt_at_us: Option<i64>,
    claims: ClaimColumns<'a>,
    lines: LineColumns<'a>,
    keys: KeyColumns<'a>,
    totals: UpsertTotals<'a>,
    outbox: InsertRows<'a>,
}

#[derive(Default)]
struct ClaimColumns<'a> {
    claim_id: Vec<&'a str>,
    external_claim_id: Vec<Option<&'a str>>,
    external_claim_key: Vec<Option<Cow<'a, str>>>,
    plan_group: Vec<&'a str>,
    subscriber_id: Vec<&'a str>,
    provider_npi: Vec<&'a str>,
    net_fee_cents: Vec<i64>,
    warnings: Vec<&'a str>,
    correlation_id: Vec<&'a str>,
    traceparent: Vec<Option<&'a str>>,
    content_digest: Vec<Option<&'a [u8]>>,
}

impl<'a> ClaimColumns<'a> {
    fn of(claims: &[NewClaim<'a>]) -> Self {
        let mut columns = Self::default();
        for (StoredClaim { row, .. }, digest) in claims {
            columns.claim_id.push(row.claim_id.as_str());
            columns.external_claim_id.push(row.external_claim_id.as_deref());
            columns.external_claim_key.push(row.external_claim_id.as_deref().map(canonical));
            columns.plan_group.push(&row.plan_group);
            columns.subscriber_id.push(&row.subscriber_id);
            columns.provider_npi.push(row.provider_npi.as_str());
            columns.net_fee_cents.push(row.net_fee_cents.0);
            columns.warnings.push(&row.warnings);
            columns.correlation_id.push(&row.correlation_id);
            columns.traceparent.push(row.traceparent.as_deref());
            columns.content_digest.push(digest.map(<[u8; 32]>::as_slice));
        }
        columns
    }
}

#[derive(Default)]
struct LineColumns<'a> {
    claim_id: Vec<&'a str>,
    line: Vec<i64>,
    service_date: Vec<&'a str>,
    submitted_procedure: Vec<&'a str>,
    quadrant: Vec<Option<&'a str>>,
    provider_fees_cents: Vec<i64>,
    allowed_fees_cents: Vec<i64>,
    member_coinsurance_cents: Vec<i64>,
    member_copay_cents: Vec<i64>,
    net_fee_cents: Vec<i64>,
}

impl<'a> LineColumns<'a> {
    fn of(claims: &[NewClaim<'a>]) -> Self {
        let mut columns = Self::default();
        for (claim, _) in claims {
            for line in &claim.lines {
                columns.push(claim.row.claim_id.as_str(), line);
            }
        }
        columns
    }

    fn push(&mut self, claim_id: &'a str, line: &'a LineRow) {
        self.claim_id.push(claim_id);
        self.line.push(line.line);
        self.service_date.push(&line.service_date);
        self.submitted_procedure.push(&line.submitted_procedure);
        self.quadrant.push(line.quadrant.as_deref());
        self.provider_fees_cents.push(line.provider_fees_cents);
        self.allowed_fees_cents.push(line.allowed_fees_cents);
        self.member_coinsurance_cents.push(line.member_coinsurance_cents);
        self.member_copay_cents.push(line.member_copay_cents);
        self.net_fee_cents.push(line.net_fee_cents);
    }
}

#[derive(Default)]
struct KeyColumns<'a> {
    idempotency_key: Vec<&'a str>,
    body_hash: Vec<&'a str>,
    claim_id: Vec<&'a str>,
    created_at_us: i64,
}

impl<'a> KeyColumns<'a> {
    fn of(keys: &'a [NewKey]) -> Self {
        Self {
            idempotency_key: keys.iter().map(|key| key.idempotency_key.as_str()).collect(),
            body_hash: keys.iter().map(|key| key.body_hash.as_str()).collect(),
            claim_id: keys.iter().map(|key| key.claim_id.as_str()).collect(),
            created_at_us: keys.first().map_or(0, |key| key.created_at_us),
        }
    }
}

/// Binds arrays to the parameters of an `unnest`, in their order.
macro_rules! unnest {
    ($out:ident, $($sql_type:ty: $column:expr),+ $(,)?) => {{
        let mut separator = " FROM unnest(";
        $(
            $out.push_sql(std::mem::replace(&mut separator, ", "));
            $out.push_bind_param::<Array<$sql_type>, _>(&$column)?;
        )+
        let _ = separator;
        $out.push_sql(")");
    }};
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Self { claims, lines, keys, .. } = self;
        out.push_sql("WITH new_keys AS (INSERT INTO idempotency_keys (owner, idempotency_key, body_hash, claim_id, created_at_us) SELECT ");
        out.push_bind_param::<Text, _>(owner::LOCAL)?;
        out.push_sql(", new.*, ");
        out.push_bind_param::<BigInt, _>(&keys.created_at_us)?;
        unnest!(out, Text: keys.idempotency_key, Text: keys.body_hash, Text: keys.claim_id);
        out.push_sql(
            " AS new), new_claims AS (INSERT INTO claims (claim_id, external_claim_id, external_claim_key, plan_group, subscriber_id, \
             provider_npi, net_fee_cents, warnings, correlation_id, traceparent, content_digest, owner, status, needs_attention, \
             version, resync_epoch, request_count, submitted_at_us, next_attempt_at_us) SELECT new.*, ",
        );
        out.push_bind_param::<Text, _>(owner::LOCAL)?;
        out.push_sql(", 'submitted', FALSE, 1, 0, 0, ");
        out.push_bind_param::<BigInt, _>(&self.submitted_at_us)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.next_attempt_at_us)?;
        unnest!(
            out,
            Text: claims.claim_id,
            Nullable<Text>: claims.external_claim_id,
            Nullable<Text>: claims.external_claim_key,
            Text: claims.plan_group,
            Text: claims.subscriber_id,
            Text: claims.provider_npi,
            BigInt: claims.net_fee_cents,
            Text: claims.warnings,
            Text: claims.correlation_id,
            Nullable<Text>: claims.traceparent,
            Nullable<Binary>: claims.content_digest,
        );
        out.push_sql(
            " AS new RETURNING id, claim_id), new_lines AS (INSERT INTO claim_lines (claim_key, line, service_date, \
             submitted_procedure, quadrant, provider_fees_cents, allowed_fees_cents, member_coinsurance_cents, member_copay_cents, \
             net_fee_cents) SELECT new_claims.id, new.line, new.service_date, new.submitted_procedure, new.quadrant, \
             new.provider_fees_cents, new.allowed_fees_cents, new.member_coinsurance_cents, new.member_copay_cents, new.net_fee_cents",
        );
        unnest!(
            out,
            Text: lines.claim_id,
            BigInt: lines.line,
            Text: lines.service_date,
            Text: lines.submitted_procedure,
            Nullable<Text>: lines.quadrant,
            BigInt: lines.provider_fees_cents,
            BigInt: lines.allowed_fees_cents,
            BigInt: lines.member_coinsurance_cents,
            BigInt: lines.member_copay_cents,
            BigInt: lines.net_fee_cents,
        );
        out.push_sql(
            " AS new (claim_id, line, service_date, submitted_procedure, quadrant, provider_fees_cents, allowed_fees_cents, \
             member_coinsurance_cents, member_copay_cents, net_fee_cents) JOIN new_claims ON new_claims.claim_id = new.claim_id), \
             new_totals AS (",
        );
        self.totals.walk_ast(out.reborrow())?;
        out.push_sql("), new_rows AS (");
        self.outbox.walk_ast(out.reborrow())?;
        out.push_sql(") SELECT id FROM new_rows");
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = Statement<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Statement<'_> {
    type SqlType = BigInt;
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}
