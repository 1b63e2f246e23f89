//! Storing a group of claims: keys, claims, lines and provider totals, with one statement ([`store_at_once`]) or in one transaction
//! ([`store`]).
//!
//! The statement knows nothing of conflicts. It is tried first, and where it fails, or the database has none, the transaction decides.
//!
//! Ids are chosen before the first try. A COMMIT whose answer was lost may have happened, so the group can be tried again
//! as it is: a claim that is there already under its own id was stored by the earlier try, and changes no total and
//! sends no event a second time.

use super::decision::{Decision, Facts, decide, differ_only_by_taken_ids, has_own_key, may_be_refused_as_duplicate};
use super::submission::{Submission, Submitted};
use crate::db::attention::Attention;
use crate::db::claims::{ClaimRow, StoredClaim, find_many, line_rows};
use crate::db::duplicates;
use crate::db::facts::{self, Found, Wanted};
use crate::db::idempotency::{Holder, NewKey, claim_keys, release_key};
use crate::db::insert::{insert_claims, insert_lines};
use crate::db::insert_group::insert_group;
use crate::db::provider_totals::Changes;
use crate::domain::owner;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::domain::transition::Status;
use crate::events::outgoing;
use claim_events::ClaimId;
use dual_db::{Connection, Error, Result};
use event_bus::{OutgoingMessage, Relay};
use std::collections::{HashMap, HashSet};

/// What became of a group, in its order, and the events of the claims that this try really inserted.
#[derive(Debug)]
pub struct Group {
    /// One for each submission.
    pub results: Vec<Submitted>,
    /// To be published.
    pub events: Vec<OutgoingMessage>,
}

/// When a group is stored, and what follows from that; in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When it is stored.
    pub now_us: i64,
    /// When the watchdog requests an outcome that has not come.
    pub next_attempt_at_us: i64,
    /// From when on its idempotency keys are kept.
    pub keys_created_at_us: i64,
}

impl Times {
    /// Stored now, by a clock that is right, with an outcome that is requested after `pause_us`.
    pub fn at(now_us: i64, pause_us: i64) -> Self {
        Self { now_us, next_attempt_at_us: now_us + pause_us, keys_created_at_us: now_us }
    }
}

/// Stores a group that was not tried before with one statement, through `relay`, which publishes its events. `times` are those at the
/// database's time.
///
/// # Errors
/// The database's. [`Error::Conflict`] where anything of the group is there already: then nothing is stored.
pub fn store_at_once(relay: &Relay, group: &[Submission], times: impl FnOnce(i64) -> Times) -> Result<Vec<Submitted>> {
    relay.commit_statement(|connection| {
        let (facts, now_us) = look_up(connection, group)?;
        let times = times(now_us);
        let decisions = decide(group, &facts);
        // Before the statement: after it, nothing may fail.
        let mut claims = replayed(connection, &decisions)?;
        let inserted = to_insert(group, &decisions, times);
        let events: Vec<OutgoingMessage> = inserted.iter().map(|(claim, _)| outgoing::current_event(claim)).collect();
        let mut ids = Vec::new();
        if !inserted.is_empty() {
            let rows: Vec<_> = inserted.iter().map(|(claim, submission)| (claim, submission.digest())).collect();
            let mut keys: Vec<NewKey> =
                inserted.iter().filter_map(|(_, submission)| new_key(submission, times.keys_created_at_us)).collect();
            // In one order in every transaction, so that two never wait for each other in a circle.
            keys.sort_by(|a, b| a.idempotency_key.cmp(&b.idempotency_key));
            let totals = Changes::of(inserted.iter().map(|(claim, _)| &claim.row));
            ids = insert_group(connection, &rows, &keys, &totals, relay.insert_pointers(&events, now_us))?;
        }
        claims.extend(inserted.into_iter().map(|(claim, _)| (claim.row.claim_id.clone(), claim)));
        Ok((results_of(group, &decisions, claims)?, events, ids))
    })
}

/// What the claims of a group meet, if no claim of the group was stored before; and the time. A key that is free is held by the
/// first claim of the group that has it.
fn look_up(connection: &mut Connection, group: &[Submission]) -> Result<(Facts, i64)> {
    let keys = group.iter().filter_map(|submission| Some((submission, submission.idempotency.as_ref()?)));
    let external_keys: Vec<_> = group.iter().filter_map(Submission::external_key).collect();
    let wanted = Wanted {
        keys: keys.clone().map(|(_, own)| own.key.as_str()).collect(),
        digests: group.iter().filter_map(Submission::digest).collect(),
        external_keys: external_keys.iter().map(AsRef::as_ref).collect(),
    };
    let Found { now_us, mut key_holders, active_claims, external_id_holders } = facts::read(connection, &wanted)?;
    for (submission, own) in keys {
        if !key_holders.contains_key(&own.key) {
            let holder = Holder { body_hash: own.body_hash.clone(), claim_id: submission.id().to_owned() };
            key_holders.insert(own.key.clone(), holder);
        }
    }
    Ok((Facts { key_holders, active_claims, external_id_holders, stored: HashSet::new() }, now_us))
}

/// Stores a group in the transaction of `connection`.
///
/// # Errors
/// The database's. [`Error::Conflict`] where another transaction took an `external_claim_id` meanwhile and claims of the
/// group were decided by that claim: they are decided otherwise when the group is run again.
pub fn store(connection: &mut Connection, group: &[Submission], times: Times) -> Result<Group> {
    let facts = gather(connection, group, times.keys_created_at_us)?;
    let decisions = decide(group, &facts);
    let inserted = insert(connection, group, &decisions, times)?;
    let decisions = decide_those_not_inserted(connection, group, facts, decisions, &inserted)?;
    release_keys_of_refused(connection, group, &decisions)?;
    Changes::of(inserted.iter().map(|claim| &claim.row)).apply(connection)?;
    let events = inserted.iter().map(outgoing::current_event).collect();
    Ok(Group { results: results(connection, group, &decisions, inserted)?, events })
}

/// Claims the group's idempotency keys and reads what its claims meet, in one query of each kind.
fn gather(connection: &mut Connection, group: &[Submission], keys_created_at_us: i64) -> Result<Facts> {
    let key_holders = take_keys(connection, group, keys_created_at_us)?;
    let new: Vec<&Submission> = group.iter().filter(|submission| has_own_key(submission, &key_holders)).collect();
    let digests = new.iter().filter_map(|submission| submission.digest()).copied().collect();
    let active_claims = duplicates::active_claims(connection, &digests)?;
    let external_keys: Vec<_> = new.iter().filter_map(|submission| submission.external_key()).collect();
    let external_id_holders = duplicates::external_id_holders(connection, &external_keys)?;
    let refusable = new.iter().filter(|submission| may_be_refused_as_duplicate(submission, &active_claims));
    let refusable: Vec<&str> = refusable.map(|submission| submission.id()).collect();
    let stored = duplicates::stored_of(connection, &refusable)?;
    Ok(Facts { key_holders, active_claims, external_id_holders, stored })
}

/// Takes the keys that are free for the first claims that have them, and returns the holder of each, new or old.
fn take_keys(connection: &mut Connection, group: &[Submission], created_at_us: i64) -> Result<HashMap<String, Holder>> {
    let mut seen = HashSet::new();
    let mut keys: Vec<NewKey> = group
        .iter()
        .filter(|submission| submission.idempotency.as_ref().is_some_and(|own| seen.insert(own.key.as_str())))
        .filter_map(|submission| new_key(submission, created_at_us))
        .collect();
    // In one order in every transaction, so that two never wait for each other in a circle.
    keys.sort_by(|a, b| a.idempotency_key.cmp(&b.idempotency_key));
    claim_keys(connection, &keys)
}

fn new_key(submission: &Submission, created_at_us: i64) -> Option<NewKey> {
    let own = submission.idempotency.as_ref()?;
    Some(NewKey {
        owner: owner::LOCAL,
        idempotency_key: own.key.clone(),
        body_hash: own.body_hash.clone(),
        claim_id: submission.id().to_owned(),
        created_at_us,
    })
}

/// The claims that are to be inserted, with their submissions.
fn to_insert<'a>(group: &'a [Submission], decisions: &[Decision], times: Times) -> Vec<(StoredClaim, &'a Submission)> {
    let decided = group.iter().zip(decisions);
    let insert = decided.filter_map(|(submission, decision)| match decision {
        Decision::Insert { duplicate_of } => Some((to_stored(submission, duplicate_of.as_deref(), times), submission)),
        _ => None,
    });
    insert.collect()
}

/// Inserts the claims that are to be, with their lines. Returns those that no earlier try had stored.
fn insert(
    connection: &mut Connection,
    group: &[Submission],
    decisions: &[Decision],
    times: Times,
) -> Result<Vec<StoredClaim>> {
    let claims = to_insert(group, decisions, times);
    let rows: Vec<_> = claims.iter().map(|(claim, submission)| (&claim.row, submission.digest())).collect();
    let keys = insert_claims(connection, &rows)?;
    let mut claims: Vec<StoredClaim> = claims.into_iter().map(|(claim, _)| claim).collect();
    claims.retain_mut(|claim| {
        let Some(key) = keys.get(claim.row.claim_id.as_str()) else { return false };
        claim.row.id = *key;
        claim.lines.iter_mut().for_each(|line| line.claim_key = *key);
        true
    });
    let lines: Vec<_> = claims.iter().flat_map(|claim| &claim.lines).collect();
    insert_lines(connection, &lines)?;
    Ok(claims)
}

/// Decides claims that were to be inserted and are not: another transaction has taken their `external_claim_id` since the
/// facts were read, or an earlier try stored them.
fn decide_those_not_inserted(
    connection: &mut Connection,
    group: &[Submission],
    mut facts: Facts,
    decisions: Vec<Decision>,
    inserted: &[StoredClaim],
) -> Result<Vec<Decision>> {
    let inserted: HashSet<&str> = inserted.iter().map(|claim| claim.row.claim_id.as_str()).collect();
    let to_insert = group.iter().zip(&decisions).filter(|(_, decision)| matches!(decision, Decision::Insert { .. }));
    let missing = to_insert.map(|(submission, _)| submission).filter(|submission| !inserted.contains(submission.id()));
    let external_keys: Vec<_> = missing.filter_map(Submission::external_key).collect();
    if external_keys.is_empty() {
        return Ok(decisions);
    }
    facts.external_id_holders.extend(duplicates::external_id_holders(connection, &external_keys)?);
    let late = decide(group, &facts);
    if differ_only_by_taken_ids(&decisions, &late) { Ok(late) } else { Err(Error::Conflict) }
}

/// Gives back the keys of claims that are refused after all.
fn release_keys_of_refused(connection: &mut Connection, group: &[Submission], decisions: &[Decision]) -> Result<()> {
    for (submission, decision) in group.iter().zip(decisions) {
        if let Decision::LikelyDuplicate { .. } | Decision::ExternalIdTaken { .. } = decision
            && let Some(own) = &submission.idempotency
        {
            release_key(connection, &own.key, submission.id())?;
        }
    }
    Ok(())
}

/// What became of each claim. Claims that were stored before this try are read as they were first answered.
fn results(
    connection: &mut Connection,
    group: &[Submission],
    decisions: &[Decision],
    inserted: Vec<StoredClaim>,
) -> Result<Vec<Submitted>> {
    let mut claims = replayed(connection, decisions)?;
    claims.extend(inserted.into_iter().map(|claim| (claim.row.claim_id.clone(), claim)));
    let to_insert = group.iter().zip(decisions).filter(|(_, decision)| matches!(decision, Decision::Insert { .. }));
    let earlier: Vec<&str> =
        to_insert.map(|(submission, _)| submission.id()).filter(|id| !claims.contains_key(*id)).collect();
    claims.extend(as_first_answered(connection, &earlier)?);
    results_of(group, decisions, claims)
}

/// The claims that earlier requests made, as they were first answered.
fn replayed(connection: &mut Connection, decisions: &[Decision]) -> Result<HashMap<ClaimId, StoredClaim>> {
    let ids: Vec<&str> = decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Replay { claim_id } => Some(claim_id.as_str()),
            _ => None,
        })
        .collect();
    as_first_answered(connection, &ids)
}

fn as_first_answered(connection: &mut Connection, claim_ids: &[&str]) -> Result<HashMap<ClaimId, StoredClaim>> {
    let claims = find_many(connection, claim_ids)?;
    Ok(claims.into_iter().map(|claim| (claim.row.claim_id.clone(), claim.as_first_answered())).collect())
}

fn results_of(
    group: &[Submission],
    decisions: &[Decision],
    mut claims: HashMap<ClaimId, StoredClaim>,
) -> Result<Vec<Submitted>> {
    let mut results: Vec<Submitted> = Vec::with_capacity(group.len());
    for (submission, decision) in group.iter().zip(decisions) {
        let result = match decision {
            // A claim that is not there was not inserted because another transaction was quicker, or was rolled back.
            Decision::Insert { .. } => {
                Submitted::Accepted(claims.remove(submission.id()).map(Box::new).ok_or(Error::Conflict)?)
            }
            Decision::Replay { claim_id } => {
                Submitted::Replayed(claims.get(claim_id.as_str()).cloned().map(Box::new).ok_or(Error::Conflict)?)
            }
            // The first request of a key comes before those that repeat it, and repeats none.
            Decision::RepeatOf(first) => match results.get(*first).ok_or(Error::Conflict)? {
                Submitted::Accepted(claim) => Submitted::Replayed(claim.clone()),
                refused => refused.clone(),
            },
            Decision::KeyReused => Submitted::KeyReused,
            Decision::LikelyDuplicate { duplicate_of } => Submitted::LikelyDuplicate { claim_id: duplicate_of.clone() },
            Decision::ExternalIdTaken { claim_id } => Submitted::ExternalIdTaken { claim_id: claim_id.clone() },
        };
        results.push(result);
    }
    Ok(results)
}

fn to_stored(submission: &Submission, duplicate_of: Option<&str>, times: Times) -> StoredClaim {
    let claim = &submission.claim;
    let warnings: Vec<_> = duplicate_of.map(likely_duplicate).into_iter().chain(submission.warnings.clone()).collect();
    let row = ClaimRow {
        id: 0,
        claim_id: submission.claim_id.clone(),
        external_claim_id: submission.external_id().map(str::to_owned),
        status: Status::Submitted,
        needs_attention: false,
        plan_group: claim.plan_group.as_str().to_owned(),
        subscriber_id: claim.subscriber_id.as_str().to_owned(),
        provider_npi: claim.provider_npi.clone(),
        net_fee_cents: claim.net_fee(),
        submitted_at_us: times.now_us,
        warnings: serde_json::to_string(&warnings).expect("findings are plain data"),
        correlation_id: submission.origin.correlation_id.clone(),
        traceparent: submission.origin.traceparent.clone(),
        version: 1,
        resync_epoch: 0,
        outcome: None,
        next_attempt_at_us: Some(times.next_attempt_at_us),
        request_count: 0,
        voided_at_us: None,
        void_reason: None,
        attention: Attention::default(),
    };
    StoredClaim { row, lines: line_rows(claim), timeline: Vec::new() }
}
