//! What came before with the key of a batch: sent again, it is the same batch. One that differs anywhere may have all its
//! later claims in other places, where they would be stored a second time.

use super::lookups::Lookups;
use crate::db::idempotency;
use crate::db::submit::IdempotencyKey;
use crate::http::post_claim::key_reused;
use service_runtime::problem::Problem;
use std::collections::HashMap;
use std::ops::Range;

/// How many places are looked up together.
const PLACES: u64 = 200;

/// The claims that were stored before with the key of a batch.
pub(super) struct Earlier {
    lookups: Lookups,
    /// The key; none where the batch has none.
    key: Option<String>,
    /// The places that were looked up last.
    places: Range<u64>,
    /// The hashes of what was stored from them, by the keys of their claims.
    hashes: HashMap<String, String>,
}

impl Earlier {
    pub fn new(key: Option<String>, lookups: Lookups) -> Self {
        Self { lookups, key, places: 0..0, hashes: HashMap::new() }
    }

    /// Passes the claim in a place, unless another one was stored from there before. Blocks.
    ///
    /// # Errors
    /// 422 that says what to do, or that the database is not there.
    pub fn pass(&mut self, index: u64, hash: &str) -> Result<(), Problem> {
        let Some(key) = &self.key else { return Ok(()) };
        if !self.places.contains(&index) {
            self.places = index..index.saturating_add(PLACES);
            let keys: Vec<String> =
                self.places.clone().map(|index| IdempotencyKey::name_in_batch(key, index)).collect();
            let holders = self.lookups.ask(move |database| {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                database.read(|connection| idempotency::holders(connection, &keys))
            })?;
            self.hashes = holders.into_iter().map(|(key, holder)| (key, holder.body_hash)).collect();
        }
        match self.hashes.get(&IdempotencyKey::name_in_batch(key, index)) {
            Some(stored) if stored != hash => Err(another_batch(index)),
            _ => Ok(()),
        }
    }
}

fn another_batch(index: u64) -> Problem {
    key_reused(format!(
        "the claim with index {index} is another one than was stored from its place with the same Idempotency-Key before, so this \
         is another batch: nothing from there on was read. Send what was not accepted before as a batch of its own, with a key of \
         its own"
    ))
}
