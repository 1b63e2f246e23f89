//! Canonical forms of the claims that were stored before there were any: how far they are written, what they are computed from, and
//! writing them. The one row of `canonical_forms` has the key of the last claim that was looked at.

use super::duplicates::ContentDigest;
use super::schema::{canonical_forms, claims};
use crate::domain::transition::Status;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use dual_db::{Connection, Result, load_for_update, on_each_backend};
use std::collections::HashMap;

/// What is stored instead of a key when every claim was looked at.
const DONE: i64 = i64::MAX;

/// A claim whose forms are looked at.
#[derive(Queryable, Selectable)]
#[diesel(table_name = claims)]
#[allow(missing_debug_implementations, reason = "it holds a subscriber id")]
#[allow(missing_docs)]
pub struct EarlierClaim {
    pub id: i64,
    pub claim_id: String,
    pub owner: String,
    pub external_claim_id: Option<String>,
    pub external_claim_key: Option<String>,
    pub status: Status,
    pub content_digest: Option<Vec<u8>>,
    pub plan_group: String,
    pub subscriber_id: String,
    pub provider_npi: String,
}

/// What is written to a claim; `None` leaves what is there.
#[derive(Debug)]
pub struct Forms {
    /// The key of the claim.
    pub id: i64,
    /// The canonical form of its `external_claim_id`.
    pub external_claim_key: Option<String>,
    /// The digest over canonical forms.
    pub content_digest: Option<ContentDigest>,
}

/// The last claim that was looked at, 0 before the first; `None` when all were. Only looks.
pub fn progress(connection: &mut Connection) -> Result<Option<i64>> {
    let claims_to: Option<i64> = on_each_backend!(connection, |c| {
        canonical_forms::table.select(canonical_forms::claims_to).first(c).optional()
    })?;
    Ok(Some(claims_to.unwrap_or(0)).filter(|claims_to| *claims_to != DONE))
}

/// As [`progress`], and keeps other instances from going on until the transaction ends.
pub fn lock_progress(connection: &mut Connection) -> Result<Option<i64>> {
    on_each_backend!(connection, |c| {
        diesel::insert_into(canonical_forms::table)
            .values((canonical_forms::id.eq(1), canonical_forms::claims_to.eq(0)))
            .on_conflict_do_nothing()
            .execute(c)
    })?;
    let claims_to: Vec<i64> = load_for_update!(connection, canonical_forms::table.select(canonical_forms::claims_to))?;
    Ok(claims_to.first().copied().filter(|claims_to| *claims_to != DONE))
}

/// Records the last claim that was looked at; `None` that all were.
pub fn record_progress(connection: &mut Connection, claims_to: Option<i64>) -> Result<()> {
    on_each_backend!(connection, |c| {
        diesel::update(canonical_forms::table).set(canonical_forms::claims_to.eq(claims_to.unwrap_or(DONE))).execute(c)
    })?;
    Ok(())
}

/// Up to `limit` claims above a key, in the order of their keys.
pub fn earlier_claims(connection: &mut Connection, above: i64, limit: i64) -> Result<Vec<EarlierClaim>> {
    Ok(on_each_backend!(connection, |c| {
        claims::table
            .filter(claims::id.gt(above))
            .order(claims::id)
            .limit(limit)
            .select(EarlierClaim::as_select())
            .load(c)
    })?)
}

/// The public id of the claim that has each of the canonical forms, by owner and form.
pub fn holders(connection: &mut Connection, external_keys: &[String]) -> Result<HashMap<(String, String), String>> {
    let found: Vec<(String, Option<String>, String)> = on_each_backend!(connection, |c| {
        claims::table
            .filter(claims::external_claim_key.eq_any(external_keys))
            .select((claims::owner, claims::external_claim_key, claims::claim_id))
            .load(c)
    })?;
    Ok(found.into_iter().filter_map(|(owner, key, claim_id)| Some(((owner, key?), claim_id))).collect())
}

/// Writes forms.
pub fn write(connection: &mut Connection, forms: &[Forms]) -> Result<()> {
    let digest = |forms: &'_ Forms| forms.content_digest.map(|digest| digest.to_vec());
    match connection {
        Connection::Sqlite(c) => {
            for forms in forms {
                let claim = claims::table.find(forms.id);
                if let Some(key) = &forms.external_claim_key {
                    diesel::update(claim).set(claims::external_claim_key.eq(key)).execute(c)?;
                }
                if let Some(digest) = digest(forms) {
                    diesel::update(claim).set(claims::content_digest.eq(digest)).execute(c)?;
                }
            }
        }
        Connection::Postgres(c) => {
            diesel::sql_query(
                "UPDATE claims SET external_claim_key = COALESCE(forms.external_claim_key, claims.external_claim_key), \
                 content_digest = COALESCE(forms.content_digest, claims.content_digest) \
                 FROM unnest($1, $2, $3) AS forms (id, external_claim_key, content_digest) WHERE claims.id = forms.id",
            )
            .bind::<Array<BigInt>, _>(forms.iter().map(|forms| forms.id).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(
                forms.iter().map(|forms| forms.external_claim_key.as_deref()).collect::<Vec<_>>(),
            )
            .bind::<Array<Nullable<Binary>>, _>(forms.iter().map(digest).collect::<Vec<_>>())
            .execute(c)?;
        }
    }
    Ok(())
}
