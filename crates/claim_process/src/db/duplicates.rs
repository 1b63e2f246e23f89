//! Which stored claims those of a group meet: equal ones, by the digest of their content, and those that hold their
//! `external_claim_id`.

use super::schema::claims;
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

/// The public id of the oldest active claim (submitted or settled) for each of the digests, where there is one. One query, and one step
/// into the index for each digest, however many equal claims there are.
pub fn active_claims(
    connection: &mut Connection,
    digests: &HashSet<ContentDigest>,
) -> Result<HashMap<ContentDigest, String>> {
    if digests.is_empty() {
        return Ok(HashMap::new());
    }
    let by_name: HashMap<String, ContentDigest> = digests.iter().map(|digest| (hex(digest), *digest)).collect();
    let found: Vec<ActiveClaim> = match connection {
        Connection::Sqlite(c) => {
            let names: Vec<String> = by_name.keys().map(|name| format!("\"{name}\"")).collect();
            diesel::sql_query(
                "SELECT wanted.value AS digest, found.claim_id AS claim_id FROM json_each(?) AS wanted JOIN claims AS found \
                 ON found.id = (SELECT id FROM claims WHERE content_digest = unhex(wanted.value) \
                 AND status IN ('submitted', 'settled') ORDER BY id LIMIT 1)",
            )
            .bind::<Text, _>(format!("[{}]", names.join(",")))
            .load(c)?
        }
        Connection::Postgres(c) => {
            let wanted: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
            diesel::sql_query(
                "SELECT encode(wanted.digest, 'hex') AS digest, found.claim_id AS claim_id \
                 FROM unnest($1) AS wanted (digest) CROSS JOIN LATERAL (SELECT claim_id FROM claims \
                 WHERE content_digest = wanted.digest AND status IN ('submitted', 'settled') ORDER BY id LIMIT 1) AS found",
            )
            .bind::<Array<Binary>, _>(wanted)
            .load(c)?
        }
    };
    Ok(found.into_iter().filter_map(|row| Some((*by_name.get(&row.digest)?, row.claim_id))).collect())
}

/// The public id of the claim that holds each `external_claim_id`, where one does.
pub fn external_id_holders(connection: &mut Connection, external_ids: &[&str]) -> Result<HashMap<String, String>> {
    if external_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(Option<String>, String)> = on_each_backend!(connection, |c| {
        claims::table
            .filter(claims::external_claim_id.eq_any(external_ids))
            .select((claims::external_claim_id, claims::claim_id))
            .load(c)
    })?;
    Ok(found.into_iter().filter_map(|(external_id, claim_id)| Some((external_id?, claim_id))).collect())
}

/// Those of the claims that are stored.
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
