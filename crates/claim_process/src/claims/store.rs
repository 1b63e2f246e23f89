//! Storing a group of claims in one transaction: keys, claims, lines and provider totals.
//!
//! Ids are chosen before the first try. A COMMIT whose answer was lost may have happened, so the group can be tried again
//! as it is: a claim that is there already under its own id was stored by the earlier try, and changes no total and
//! sends no event a second time.

use super::decision::{Decision, Facts, decide, differ_only_by_taken_ids, has_own_key, may_be_refused_as_duplicate};
use super::submission::{Submission, Submitted};
use crate::db::attention::Attention;
use crate::db::claims::{ClaimRow, StoredClaim, find_many, line_rows};
use crate::db::duplicates;
use crate::db::idempotency::{Holder, NewKey, claim_keys, release_key};
use crate::db::insert::{insert_claims, insert_lines};
use crate::db::provider_totals::Changes;
use crate::domain::owner;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::domain::transition::Status;
use claim_events::ClaimId;
use dual_db::{Connection, Error, Result};
use std::collections::{HashMap, HashSet};

/// What became of a group, in its order, and which claims this try really inserted.
#[derive(Debug)]
pub struct Group {
    /// One for each submission.
    pub results: Vec<Submitted>,
    /// Those whose events are to be published, in the group's order.
    pub inserted: Vec<StoredClaim>,
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
    let mut totals = Changes::default();
    for claim in &inserted {
        totals.add(&claim.row.provider_npi, claim.row.net_fee_cents);
    }
    totals.apply(connection)?;
    let results = results(connection, group, &decisions, &inserted)?;
    Ok(Group { results, inserted })
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
        .filter_map(|submission| Some((submission, submission.idempotency.as_ref()?)))
        .filter(|(_, idempotency)| seen.insert(idempotency.key.as_str()))
        .map(|(submission, idempotency)| NewKey {
            owner: owner::LOCAL,
            idempotency_key: idempotency.key.clone(),
            body_hash: idempotency.body_hash.clone(),
            claim_id: submission.id().to_owned(),
            created_at_us,
        })
        .collect();
    // In one order in every transaction, so that two never wait for each other in a circle.
    keys.sort_by(|a, b| a.idempotency_key.cmp(&b.idempotency_key));
    claim_keys(connection, &keys)
}

/// Inserts the claims that are to be, with their lines. Returns those that no earlier try had stored.
fn insert(
    connection: &mut Connection,
    group: &[Submission],
    decisions: &[Decision],
    times: Times,
) -> Result<Vec<StoredClaim>> {
    let mut claims = Vec::new();
    let mut digests = Vec::new();
    for (submission, decision) in group.iter().zip(decisions) {
        if let Decision::Insert { duplicate_of } = decision {
            claims.push(to_stored(submission, duplicate_of.as_deref(), times));
            digests.push(submission.digest());
        }
    }
    let rows: Vec<_> = claims.iter().map(|claim| &claim.row).zip(digests).collect();
    let keys = insert_claims(connection, &rows)?;
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
    inserted: &[StoredClaim],
) -> Result<Vec<Submitted>> {
    let mut claims: HashMap<ClaimId, StoredClaim> =
        inserted.iter().map(|claim| (claim.row.claim_id.clone(), claim.clone())).collect();
    let named = group.iter().zip(decisions).filter_map(|(submission, decision)| match decision {
        Decision::Insert { .. } => Some(submission.id()),
        Decision::Replay { claim_id } => Some(claim_id.as_str()),
        _ => None,
    });
    let earlier: Vec<&str> = named.filter(|id| !claims.contains_key(*id)).collect();
    let earlier = find_many(connection, &earlier)?;
    claims.extend(earlier.into_iter().map(|claim| (claim.row.claim_id.clone(), claim.as_first_answered())));
    (0..group.len()).map(|index| result(group, decisions, &claims, index)).collect()
}

fn result(
    group: &[Submission],
    decisions: &[Decision],
    claims: &HashMap<ClaimId, StoredClaim>,
    index: usize,
) -> Result<Submitted> {
    // A claim that is not there was not inserted because another transaction was quicker, or was rolled back.
    let claim = |id: &str| claims.get(id).cloned().map(Box::new).ok_or(Error::Conflict);
    Ok(match &decisions[index] {
        Decision::Insert { .. } => Submitted::Accepted(claim(group[index].id())?),
        Decision::Replay { claim_id } => Submitted::Replayed(claim(claim_id)?),
        // The first request of a key repeats none.
        Decision::RepeatOf(first) => match result(group, decisions, claims, *first)? {
            Submitted::Accepted(claim) => Submitted::Replayed(claim),
            refused => refused,
        },
        Decision::KeyReused => Submitted::KeyReused,
        Decision::LikelyDuplicate { duplicate_of } => Submitted::LikelyDuplicate { claim_id: duplicate_of.clone() },
        Decision::ExternalIdTaken { claim_id } => Submitted::ExternalIdTaken { claim_id: claim_id.clone() },
    })
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
