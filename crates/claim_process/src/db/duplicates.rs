//! The stored claims of an owner that conflict with the claims of a group: active claims with the same content, found by its
//! digest, and claims that hold the same `external_claim_id`, found by its canonical form.

use super::schema::claims;
use crate::domain::owner;
use diesel::prelude::*;
use diesel::sql_types::{Array, Binary, Text};
use dual_db::{Connection, Result, on_each_backend};
use std::collections::{HashMap, HashSet};

/// SHA-256 of a claim's content.
pub type ContentDigest = [u8; 32];

#[derive(QueryableByName)]
struct ActiveClaim {
    #[diesel(sql_type = Text)]
    digest: String,
    #[diesel(sql_type = Text)]
    claim_id: String,
}

/// The public id of the oldest active claim with each of the digests, if there is one. A claim is active until it is voided or
/// unwound. It is one query, with one step into the index for each digest, however many equal claims there are.
pub fn active_claims(
    connection: &mut Connection,
    digests: &HashSet<ContentDigest>,
) -> Result<HashMap<ContentDigest, String>> {
    if digests.is_empty() {
        return Ok(HashMap::new());
    }
    let by_name: HashMap<String, ContentDigest> = digests.iter().map(|digest| (hex(digest), *digest)).collect();
    // The owner must enter no index: most claims may be of one, and a planner without statistics takes an index that begins with it.
    let found: Vec<ActiveClaim> = match connection {
        Connection::Sqlite(c) => {
            let names: Vec<String> = by_name.keys().map(|name| format!("\"{name}\"")).collect();
            diesel::sql_query(
                "SELECT wanted.value AS digest, found.claim_id AS claim_id FROM json_each(?) AS wanted JOIN claims AS found \
                 ON found.id = (SELECT id FROM claims WHERE content_digest = unhex(wanted.value) \
                 AND +owner = ? AND status IN ('submitted', 'settled') ORDER BY id LIMIT 1)",
            )
            .bind::<Text, _>(format!("[{}]", names.join(",")))
            .bind::<Text, _>(owner::LOCAL)
            .load(c)?
        }
        Connection::Postgres(c) => {
            let wanted: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
            diesel::sql_query(
                "SELECT encode(wanted.digest, 'hex') AS digest, found.claim_id AS claim_id \
                 FROM unnest($1) AS wanted (digest) CROSS JOIN LATERAL (SELECT claim_id FROM claims \
                 WHERE content_digest = wanted.digest AND owner IS NOT DISTINCT FROM $2 AND status IN ('submitted', 'settled') ORDER BY id LIMIT 1) AS found",
            )
            .bind::<Array<Binary>, _>(wanted)
            .bind::<Text, _>(owner::LOCAL)
            .load(c)?
        }
    };
    Ok(found.into_iter().filter_map(|row| Some((*by_name.get(&row.digest)?, row.claim_id))).collect())
}

/// The public id of the claim that holds each `external_claim_id`, if there is one; by canonical forms.
pub fn external_id_holders(
    connection: &mut Connection,
    external_keys: &[impl AsRef<str>],
) -> Result<HashMap<String, String>> {
    if external_keys.is_empty() {
        return Ok(HashMap::new());
    }
    let external_keys: Vec<&str> = external_keys.iter().map(AsRef::as_ref).collect();
    let found: Vec<(Option<String>, String)> = on_each_backend!(connection, |c| {
        claims::table
            .filter(claims::owner.eq(owner::LOCAL).and(claims::external_claim_key.eq_any(&external_keys)))
            .select((claims::external_claim_key, claims::claim_id))
            .load(c)
    })?;
    Ok(found.into_iter().filter_map(|(external_key, claim_id)| Some((external_key?, claim_id))).collect())
}

/// The given ids of which a claim is stored.
pub fn stored_of(connection: &mut Connection, claim_ids: &[&str]) -> Result<HashSet<String>> {
    if claim_ids.is_empty() {
        return Ok(HashSet::new());
    }
    let found: Vec<String> = on_each_backend!(connection, |c| {
        claims::table.filter(claims::claim_id.eq_any(claim_ids)).select(claims::claim_id).load(c)
    })?;
    Ok(found.into_iter().collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
