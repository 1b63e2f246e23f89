//! `claim_process reannounce`: raises the ask of every claim, or of those that anything happened to since a time, and makes
//! them due. The watchdog then says them again at its bounded rate, and payments answers each with the outcome it has.
//! It is a must after payments' database was lost or restored.

use crate::db::claims;
use dual_db::{Database, Result};

/// Claims raised in one transaction, so that nothing else waits long.
const CLAIMS_PER_TRANSACTION: i64 = 1_000;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reannounced {
    /// How many claims are asked for anew.
    pub claims: usize,
    /// The ask they have now: unix seconds, and more than any claim had before.
    pub ask: i64,
}

/// Asks anew for every claim, or for those that anything happened to since `since_us` (microseconds since 1970).
/// `progress` is told how many were raised so far.
///
/// # Errors
/// The database's. Claims raised before it stay raised; the same call again goes on with a higher ask.
pub fn reannounce(database: &Database, since_us: Option<i64>, mut progress: impl FnMut(usize)) -> Result<Reannounced> {
    let ask = database.read(|connection| {
        let now_s = connection.now_us()? / 1_000_000;
        Ok(now_s.max(claims::highest_ask(connection)? + 1))
    })?;
    let mut after = 0;
    let mut raised = 0;
    loop {
        let keys = database.write(|connection| {
            let now_us = connection.now_us()?;
            claims::raise_ask(connection, ask, since_us, after, CLAIMS_PER_TRANSACTION, now_us)
        })?;
        let Some(last) = keys.last() else { return Ok(Reannounced { claims: raised, ask }) };
        after = *last;
        raised += keys.len();
        progress(raised);
    }
}
