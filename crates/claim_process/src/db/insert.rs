//! Inserts claims with their lines, many in one statement.

use super::ROWS_PER_INSERT;
use super::claims::{ClaimRow, LineRow};
use super::duplicates::ContentDigest;
use super::schema::{claim_lines, claims};
use crate::domain::canonical::canonical;
use crate::domain::owner;
use crate::domain::transition::Status;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};
use std::borrow::Cow;
use std::collections::HashMap;

/// Rows of `claims` in one INSERT: 19 columns each.
const CLAIMS_PER_INSERT: usize = 500;

#[derive(Insertable)]
#[diesel(table_name = claims, treat_none_as_default_value = false)]
struct NewClaim<'a> {
    claim_id: &'a str,
    external_claim_id: Option<&'a str>,
    owner: &'a str,
    external_claim_key: Option<Cow<'a, str>>,
    status: Status,
    needs_attention: bool,
    plan_group: &'a str,
    subscriber_id: &'a str,
    provider_npi: &'a str,
    net_fee_cents: i64,
    submitted_at_us: i64,
    warnings: &'a str,
    correlation_id: &'a str,
    traceparent: Option<&'a str>,
    version: i64,
    resync_epoch: i64,
    next_attempt_at_us: Option<i64>,
    request_count: i64,
    content_digest: Option<&'a [u8]>,
}

/// Inserts claims, each with the digest of its content where it has one, but for those whose public id or own number is taken.
/// Returns the keys of the inserted ones by their public ids.
pub fn insert_claims(
    connection: &mut Connection,
    claims: &[(&ClaimRow, Option<&ContentDigest>)],
) -> Result<HashMap<String, i64>> {
    let mut keys = HashMap::with_capacity(claims.len());
    if let Connection::Sqlite(c) = connection {
        // One row at a time is one text, which is prepared once. Many in a statement are parsed again for each number of them.
        for (row, digest) in claims {
            let inserted: Option<i64> = diesel::insert_into(claims::table)
                .values(new_claim(row, *digest))
                .on_conflict_do_nothing()
                .returning(claims::id)
                .get_result(c)
                .optional()?;
            if let Some(id) = inserted {
                keys.insert(row.claim_id.to_string(), id);
            }
        }
        return Ok(keys);
    }
    for chunk in claims.chunks(CLAIMS_PER_INSERT) {
        let rows: Vec<NewClaim<'_>> = chunk.iter().map(|(row, digest)| new_claim(row, *digest)).collect();
        let inserted: Vec<(String, i64)> = on_each_backend!(connection, |c| {
            diesel::insert_into(claims::table)
                .values(&rows)
                .on_conflict_do_nothing()
                .returning((claims::claim_id, claims::id))
                .get_results(c)
        })?;
        keys.extend(inserted);
    }
    Ok(keys)
}

/// Inserts the lines of claims.
pub fn insert_lines(connection: &mut Connection, lines: &[&LineRow]) -> Result<()> {
    if let Connection::Sqlite(c) = connection {
        for line in lines {
            diesel::insert_into(claim_lines::table).values(*line).execute(c)?;
        }
        return Ok(());
    }
    for chunk in lines.chunks(ROWS_PER_INSERT) {
        on_each_backend!(connection, |c| diesel::insert_into(claim_lines::table).values(chunk.to_vec()).execute(c))?;
    }
    Ok(())
}

fn new_claim<'a>(row: &'a ClaimRow, digest: Option<&'a ContentDigest>) -> NewClaim<'a> {
    NewClaim {
        claim_id: row.claim_id.as_str(),
        external_claim_id: row.external_claim_id.as_deref(),
        owner: owner::LOCAL,
        external_claim_key: row.external_claim_id.as_deref().map(canonical),
        status: row.status,
        needs_attention: row.needs_attention,
        plan_group: &row.plan_group,
        subscriber_id: &row.subscriber_id,
        provider_npi: row.provider_npi.as_str(),
        net_fee_cents: row.net_fee_cents.0,
        submitted_at_us: row.submitted_at_us,
        warnings: &row.warnings,
        correlation_id: &row.correlation_id,
        traceparent: row.traceparent.as_deref(),
        version: row.version,
        resync_epoch: row.resync_epoch,
        next_attempt_at_us: row.next_attempt_at_us,
        request_count: row.request_count,
        content_digest: digest.map(<[u8; 32]>::as_slice),
    }
}
