//! What was stored before with the key of a batch: sent again, it is the same batch. One that differs anywhere may have all
//! its later claims at other indexes, where they would be stored a second time.

use super::context::{BatchContext, Mode};
use super::error::BatchError;
use crate::claims::submission::IdempotencyKey;
use crate::db::idempotency;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How many indexes are looked up together.
const INDEXES: u64 = 200;

/// Ends a batch at the first claim that differs from the one stored from its index before.
pub(super) struct ReplayGuard {
    context: Arc<BatchContext>,
    /// The indexes that were looked up last.
    indexes: Range<u64>,
    /// The hashes of what was stored from them, by the keys of their claims.
    hashes: HashMap<String, String>,
}

impl ReplayGuard {
    pub fn new(context: Arc<BatchContext>) -> Self {
        Self { context, indexes: 0..0, hashes: HashMap::new() }
    }

    /// Passes the claim at an index, unless another one was stored from there before. Blocks.
    ///
    /// # Errors
    /// [`BatchError::OtherBatch`], or why the database could not be read.
    pub fn pass(&mut self, index: u64, hash: &str) -> Result<(), BatchError> {
        let Some(key) = self.context.key.as_ref().filter(|_| self.context.mode == Mode::Store) else { return Ok(()) };
        if !self.indexes.contains(&index) {
            self.indexes = index..index.saturating_add(INDEXES);
            let keys: Vec<String> =
                self.indexes.clone().map(|index| IdempotencyKey::name_in_batch(key, index)).collect();
            let holders = self.context.look_up(move |database| {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                database.read(|connection| idempotency::holders(connection, &keys))
            })?;
            self.hashes = holders.into_iter().map(|(key, holder)| (key, holder.body_hash)).collect();
        }
        match self.hashes.get(&IdempotencyKey::name_in_batch(key, index)) {
            Some(stored) if stored != hash => Err(BatchError::OtherBatch { index }),
            _ => Ok(()),
        }
    }
}
