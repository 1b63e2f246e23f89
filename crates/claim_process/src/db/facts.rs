//! What the database holds that the claims of a group meet, read with one statement on PostgreSQL: one text for any group, so that it
//! is prepared once. Each look-up is one step into an index, whatever the planner believes of the sizes of the tables: before it has
//! statistics, PostgreSQL takes an owner for as rare as a digest, and an index that begins with the owner for as good as one by digest.
//! `IS NOT DISTINCT FROM` keeps the owner out of the choice.

use super::duplicates::{self, ContentDigest};
use super::idempotency::{self, Holder};
use crate::domain::owner;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Text};
use dual_db::{Connection, Result};
use std::collections::HashMap;

/// What is looked up.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Idempotency keys.
    pub keys: Vec<&'a str>,
    /// Digests of content.
    pub digests: Vec<&'a ContentDigest>,
    /// Canonical forms of `external_claim_id`.
    pub external_keys: Vec<&'a str>,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The time by the database's clock, in microseconds since 1970.
    pub now_us: i64,
    /// The holders of keys that are held.
    pub key_holders: HashMap<String, Holder>,
    /// The oldest active claim of each digest, if there is one.
    pub active_claims: HashMap<ContentDigest, String>,
    /// The claim that has each canonical form, if there is one.
    pub external_id_holders: HashMap<String, String>,
}

/// Looks all of it up.
pub fn read(connection: &mut Connection, wanted: &Wanted<'_>) -> Result<Found> {
    let Connection::Postgres(c) = connection else { return read_one_by_one(connection, wanted) };
    let statement = Statement {
        keys: &wanted.keys,
        digests: wanted.digests.iter().map(|digest| digest.as_slice()).collect(),
        external_keys: &wanted.external_keys,
    };
    let rows: Vec<(i64, i64, String, String, String)> = statement.load(c)?;
    let mut found = Found {
        now_us: 0,
        key_holders: HashMap::new(),
        active_claims: HashMap::new(),
        external_id_holders: HashMap::new(),
    };
    for (kind, number, name, claim_id, body_hash) in rows {
        match kind {
            NOW => found.now_us = number,
            KEY => drop(found.key_holders.insert(name, Holder { body_hash, claim_id })),
            DIGEST => {
                let index = usize::try_from(number - 1).ok();
                if let Some(digest) = index.and_then(|index| wanted.digests.get(index)) {
                    found.active_claims.insert(**digest, claim_id);
                }
            }
            _ => drop(found.external_id_holders.insert(name, claim_id)),
        }
    }
    Ok(found)
}

fn read_one_by_one(connection: &mut Connection, wanted: &Wanted<'_>) -> Result<Found> {
    Ok(Found {
        now_us: connection.now_us()?,
        key_holders: idempotency::holders(connection, &wanted.keys)?,
        active_claims: duplicates::active_claims(connection, &wanted.digests.iter().copied().copied().collect())?,
        external_id_holders: duplicates::external_id_holders(connection, &wanted.external_keys)?,
    })
}

// `IS NOT DISTINCT FROM` is an equality that enters no index: most claims may be of one owner, and a planner without statistics
// takes an index that begins with the owner.

/// The kinds of rows, in the first column.
const NOW: i64 = 0;
const KEY: i64 = 1;
const DIGEST: i64 = 2;

struct Statement<'a> {
    keys: &'a [&'a str],
    digests: Vec<&'a [u8]>,
    external_keys: &'a [&'a str],
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT 0::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, '', '', '' \
             UNION ALL SELECT 1, 0, wanted.name, held.claim_id, held.body_hash FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(self.keys)?;
        out.push_sql(
            ") AS wanted (name) CROSS JOIN LATERAL \
             (SELECT claim_id, body_hash FROM idempotency_keys WHERE owner = ",
        );
        out.push_bind_param::<Text, _>(owner::LOCAL)?;
        out.push_sql(
            " AND idempotency_key = wanted.name LIMIT 1) AS held \
             UNION ALL SELECT 2, wanted.number, '', held.claim_id, '' FROM unnest(",
        );
        out.push_bind_param::<Array<Binary>, _>(&self.digests)?;
        out.push_sql(
            ") WITH ORDINALITY AS wanted (digest, number) CROSS JOIN LATERAL \
             (SELECT claim_id FROM claims WHERE content_digest = wanted.digest AND owner IS NOT DISTINCT FROM ",
        );
        out.push_bind_param::<Text, _>(owner::LOCAL)?;
        out.push_sql(
            " AND status IN ('submitted', 'settled') ORDER BY id LIMIT 1) AS held \
             UNION ALL SELECT 3, 0, wanted.name, held.claim_id, '' FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(self.external_keys)?;
        out.push_sql(
            ") AS wanted (name) CROSS JOIN LATERAL \
             (SELECT claim_id FROM claims WHERE external_claim_key = wanted.name AND owner = ",
        );
        out.push_bind_param::<Text, _>(owner::LOCAL)?;
        out.push_sql(" LIMIT 1) AS held");
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = Statement<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Statement<'_> {
    type SqlType = (BigInt, BigInt, Text, Text, Text);
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use dual_db::Database;
    use test_support::{assert_uses_index, execute, on_both_databases};

    on_both_databases! {
        fn equal_claims_are_looked_up_by_their_digest_before_there_are_statistics(database: &Database) {
            if !database.is_postgres() {
                return;
            }
            database.migrate(&[&event_bus::MIGRATIONS, &crate::db::MIGRATIONS]).unwrap();
            let insert = "INSERT INTO claims (claim_id, status, needs_attention, plan_group, subscriber_id, provider_npi, \
                net_fee_cents, submitted_at_us, warnings, correlation_id, version, resync_epoch, request_count, content_digest) \
                SELECT 'c' || n, 'submitted', FALSE, 'GRP', 'S' || n, '1497775530', 1, n, '[]', '', 1, 0, 0, sha256(n::text::bytea) \
                FROM generate_series(1, 3000) AS n";
            database.write(|connection| execute(connection, insert)).unwrap();
            let wanted = Wanted::default();
            let statement = Statement { keys: &wanted.keys, digests: Vec::new(), external_keys: &wanted.external_keys };
            let text = diesel::debug_query::<Pg, _>(&statement).to_string();
            let text = text.split(" -- binds").next().unwrap();
            let binds = ["'{}'::text[]", "'local'", "'{}'::bytea[]", "'local'", "'{}'::text[]", "'local'"];
            let text = binds.iter().zip(1..).fold(text.to_owned(), |text, (bind, n)| text.replace(&format!("${n}"), bind));
            for index in ["claims_active_by_content", "claims_by_external_key", "idempotency_keys_pkey"] {
                assert_uses_index(database, &text, index);
            }
        }
    }
}
