//! What the idempotency key of a claim that is refused now was answered before: the same request may have been taken
//! earlier, under other rules or on another day.

use super::submission::{IdempotencyKey, Submitted};
use crate::db::{claims, idempotency};
use dual_db::{Database, Error, Result};

/// The answer of the request that holds the key; `None` where no request does. Blocks, also while a request that holds it
/// is being stored.
///
/// A request that waits to be stored by another instance does not hold its key yet, and is not seen.
///
/// # Errors
/// The database's.
pub fn answered_before(database: &Database, key: &IdempotencyKey) -> Result<Option<Submitted>> {
    let holder = database.read(|connection| Ok(idempotency::holders(connection, &[&key.key])?.remove(&key.key)))?;
    let holder = match holder {
        Some(holder) => holder,
        // Reading does not see a transaction that is not committed yet; the unique index does, and waits for it.
        None => match idempotency::wait_for_holder(database, &key.key)? {
            Some(holder) => holder,
            None => return Ok(None),
        },
    };
    if holder.body_hash != key.body_hash {
        return Ok(Some(Submitted::KeyReused));
    }
    let claim = database.read(|connection| claims::find(connection, &holder.claim_id))?.ok_or(Error::Conflict)?;
    Ok(Some(Submitted::Replayed(Box::new(claim.as_first_answered()))))
}
