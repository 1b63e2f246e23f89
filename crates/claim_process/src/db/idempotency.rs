//! Idempotency keys: which claim a key of an owner made. The unique key of the table decides between racing requests.

use super::ROWS_PER_INSERT;
use super::schema::idempotency_keys;
use crate::domain::owner;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use dual_db::{Connection, Database, Error, Result, on_each_backend};
use std::collections::HashMap;
use std::slice;

/// A new key.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = idempotency_keys, treat_none_as_default_value = false)]
pub struct NewKey {
    /// Whose key it is.
    pub owner: &'static str,
    /// The `Idempotency-Key` header.
    pub idempotency_key: String,
    /// SHA-256 of the body, in hex.
    pub body_hash: String,
    /// The claim that the request makes if the key is new.
    pub claim_id: String,
    /// When the request came, in microseconds since 1970.
    pub created_at_us: i64,
}

/// The request that holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The body it was first used with.
    pub body_hash: String,
    /// The claim it made.
    pub claim_id: String,
}

/// Inserts the keys that are new, and returns the holder of each of them, new or old.
pub fn claim_keys(connection: &mut Connection, keys: &[NewKey]) -> Result<HashMap<String, Holder>> {
    let mut holders = HashMap::new();
    for chunk in keys.chunks(ROWS_PER_INSERT) {
        on_each_backend!(connection, |c| {
            diesel::insert_into(idempotency_keys::table).values(chunk).on_conflict_do_nothing().execute(c)
        })?;
        let names: Vec<&str> = chunk.iter().map(|key| key.idempotency_key.as_str()).collect();
        holders.extend(self::holders(connection, &names)?);
    }
    Ok(holders)
}

/// The holders of those of these keys that are held. At most [`ROWS_PER_INSERT`] keys.
pub fn holders(connection: &mut Connection, keys: &[&str]) -> Result<HashMap<String, Holder>> {
    let rows: Vec<(String, String, String)> = on_each_backend!(connection, |c| {
        idempotency_keys::table
            .filter(idempotency_keys::owner.eq(owner::LOCAL).and(idempotency_keys::idempotency_key.eq_any(keys)))
            .select((idempotency_keys::idempotency_key, idempotency_keys::body_hash, idempotency_keys::claim_id))
            .load(c)
    })?;
    Ok(rows.into_iter().map(|(key, body_hash, claim_id)| (key, Holder { body_hash, claim_id })).collect())
}

/// The holder of a key, after any transaction that is taking the key has ended. It takes the key itself and rolls that
/// back, so a key that is free stays free.
pub fn wait_for_holder(database: &Database, key: &str) -> Result<Option<Holder>> {
    let probe = NewKey {
        owner: owner::LOCAL,
        idempotency_key: key.to_owned(),
        body_hash: String::new(),
        claim_id: String::new(),
        created_at_us: 0,
    };
    let holder = database.write(|connection| {
        let holder = claim_keys(connection, slice::from_ref(&probe))?.remove(key);
        holder.filter(|holder| !holder.claim_id.is_empty()).ok_or(Error::Query(DieselError::RollbackTransaction))
    });
    match holder {
        Ok(holder) => Ok(Some(holder)),
        Err(Error::Query(DieselError::RollbackTransaction)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// When the newest key was created, in microseconds since 1970.
pub fn newest_us(connection: &mut Connection) -> Result<Option<i64>> {
    Ok(on_each_backend!(connection, |c| {
        idempotency_keys::table.select(diesel::dsl::max(idempotency_keys::created_at_us)).first(c)
    })?)
}

/// Deletes keys from before a time, the oldest first and at most `most` of them. Returns how many.
pub fn forget(connection: &mut Connection, before_us: i64, most: usize) -> Result<usize> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let keys: Vec<(String, String)> = on_each_backend!(connection, |c| {
        idempotency_keys::table
            .filter(idempotency_keys::created_at_us.lt(before_us))
            .order((idempotency_keys::created_at_us, idempotency_keys::idempotency_key))
            .limit(most)
            .select((idempotency_keys::owner, idempotency_keys::idempotency_key))
            .load(c)
    })?;
    let mut forgotten = 0;
    for of_owner in keys.chunk_by(|one, next| one.0 == next.0) {
        for chunk in of_owner.chunks(ROWS_PER_INSERT) {
            let keys: Vec<&str> = chunk.iter().map(|(_, key)| key.as_str()).collect();
            forgotten += on_each_backend!(connection, |c| {
                let of_owner = idempotency_keys::table.filter(idempotency_keys::owner.eq(&chunk[0].0));
                diesel::delete(of_owner.filter(idempotency_keys::idempotency_key.eq_any(keys))).execute(c)
            })?;
        }
    }
    Ok(forgotten)
}

/// Deletes a key whose claim was refused, unless another claim holds it.
pub fn release_key(connection: &mut Connection, key: &str, claim_id: &str) -> Result<()> {
    on_each_backend!(connection, |c| {
        let held = idempotency_keys::table.find((owner::LOCAL, key)).filter(idempotency_keys::claim_id.eq(claim_id));
        diesel::delete(held).execute(c)
    })?;
    Ok(())
}
