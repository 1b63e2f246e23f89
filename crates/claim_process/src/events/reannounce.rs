//! `claim_process reannounce`: raises the resync epoch of every claim, or of those that changed since a time, and schedules
//! their re-publication. The watchdog re-publishes them at its bounded rate, and payments answers each with the outcome it
//! has. It is required after payments' database was lost or restored.

use crate::db::requests;
use dual_db::{Database, Result};
use std::time::Duration;

/// Claims whose epoch is raised in one transaction: few, so that other transactions do not wait long for their locks.
const CLAIMS_PER_TRANSACTION: i64 = 1_000;

/// How long to wait for the clock to reach the new epoch, and the pause between two reads of it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// The result of [`reannounce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reannounced {
    /// How many claims will be re-published.
    pub claims: usize,
    /// Their resync epoch, in unix seconds: higher than that of any claim before.
    pub resync_epoch: i64,
}

/// Raises the resync epoch of every claim, or of those that changed since `since_us` (microseconds since 1970).
/// `progress` is called with the number of claims raised so far.
///
/// # Errors
/// The database's. Claims raised before it stay raised; the same call again goes on with a higher resync epoch.
pub fn reannounce(database: &Database, since_us: Option<i64>, mut progress: impl FnMut(usize)) -> Result<Reannounced> {
    let resync_epoch = next_resync_epoch(database)?;
    let mut after = 0;
    let mut raised = 0;
    loop {
        let keys = database.write(|connection| {
            let now_us = connection.now_us()?;
            requests::raise_resync_epoch(connection, resync_epoch, since_us, after, CLAIMS_PER_TRANSACTION, now_us)
        })?;
        let Some(last) = keys.last() else { return Ok(Reannounced { claims: raised, resync_epoch }) };
        after = *last;
        raised += keys.len();
        progress(raised);
    }
}

/// A resync epoch above every earlier one. It is not ahead of the clock: an epoch from before a restore must not be later
/// than the restore marker. Two calls within one second therefore wait for each other.
fn next_resync_epoch(database: &Database) -> Result<i64> {
    let resync_epoch = database.read(requests::highest_resync_epoch)? + 1;
    for _ in 0..LONGEST_WAIT.as_millis() / PAUSE.as_millis() {
        let now_s = database.read(|connection| connection.now_us())? / 1_000_000;
        if now_s >= resync_epoch {
            return Ok(now_s);
        }
        std::thread::sleep(PAUSE);
    }
    tracing::warn!(resync_epoch, "an earlier resync epoch is ahead of the database's clock, which must have gone back");
    Ok(resync_epoch)
}
