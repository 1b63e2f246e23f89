//! Looks up the idempotency key of a claim that is refused now: the same request may have been taken earlier, under other
//! rules or on another day.

use super::idempotency::{self, NewKey};
use super::submit::{self, IdempotencyKey, Submitted};
use crate::domain::identifiers::ClaimId;
use diesel::result::Error as DieselError;
use dual_db::{Database, Error, Result};
use std::slice;

/// What the key says of a request that comes with it; none where no request holds it. Blocks, also while a request that
/// holds it is being stored.
///
/// A request that waits to be stored by another instance does not hold its key yet, and is not seen.
pub fn find(database: &Database, idempotency: &IdempotencyKey) -> Result<Option<Submitted>> {
    let stored = database.read(|connection| {
        let mut holders = idempotency::holders(connection, &[&idempotency.key])?;
        let holder = holders.remove(&idempotency.key);
        holder.map(|holder| submit::of_known_key(connection, &holder, idempotency)).transpose()
    })?;
    if stored.is_some() {
        return Ok(stored);
    }
    // Reading does not see a transaction that is not committed yet; the unique index does, and waits for it.
    let probe = ClaimId::random();
    let claimed = database.write(|connection| {
        let key = NewKey {
            idempotency_key: idempotency.key.clone(),
            body_hash: idempotency.body_hash.clone(),
            claim_id: probe.as_str().to_owned(),
            created_at_us: connection.now_us()?,
        };
        let mut holders = idempotency::claim_keys(connection, slice::from_ref(&key))?;
        match holders.remove(&idempotency.key) {
            Some(holder) if holder.claim_id != probe.as_str() => submit::of_known_key(connection, &holder, idempotency),
            // It was free, and stays free.
            _ => Err(Error::Query(DieselError::RollbackTransaction)),
        }
    });
    match claimed {
        Ok(submitted) => Ok(Some(submitted)),
        Err(Error::Query(DieselError::RollbackTransaction)) => Ok(None),
        Err(error) => Err(error),
    }
}
