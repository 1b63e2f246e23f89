//! `claim_process reannounce`: raises the ask of every claim, or of those that anything happened to since a time, and makes
//! them due. The watchdog then says them again at its bounded rate, and payments answers each with the outcome it has.
//! It is a must after payments' database was lost or restored.

use crate::db::claims;
use dual_db::{Database, Result};
use std::time::Duration;

/// Claims raised in one transaction, so that nothing else waits long.
const CLAIMS_PER_TRANSACTION: i64 = 1_000;

/// How long to wait for the clock, and how long between two looks at it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

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
    let ask = next_ask(database)?;
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

/// An ask above every earlier one. It is not ahead of the clock: an ask from before a restore must not be later than the
/// restore's mark, so two in one second wait for each other.
fn next_ask(database: &Database) -> Result<i64> {
    let ask = database.read(claims::highest_ask)? + 1;
    for _ in 0..LONGEST_WAIT.as_millis() / PAUSE.as_millis() {
        let now_s = database.read(|connection| connection.now_us())? / 1_000_000;
        if now_s >= ask {
            return Ok(now_s);
        }
        std::thread::sleep(PAUSE);
    }
    tracing::warn!(ask, "an earlier ask is ahead of the database's clock, which must have gone back");
    Ok(ask)
}
