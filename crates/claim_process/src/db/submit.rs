//! Storing a group of claims in one transaction: keys, claims, lines, provider totals and events.
//!
//! Ids are chosen before the first try. A COMMIT whose answer was lost may have happened, so the group can be tried again
//! as it is: a claim that is there already under its own id was stored by the earlier try, and changes no total and
//! sends no event a second time.

use super::claims::{ClaimRow, LineRow, StoredClaim};
use super::duplicates::{self, ContentDigest};
use super::idempotency::{self, Holder, NewKey};
use super::provider_totals::Changes;
use super::schema::{claim_lines, claims};
use super::{ROWS_PER_INSERT, claims as claim_queries};
use crate::domain::claim::Claim;
use crate::domain::finding::Finding;
use crate::domain::identifiers::ClaimId;
use crate::domain::rules::likely_duplicate::{DuplicateCheck, finding as likely_duplicate};
use crate::domain::transition::Status;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};
use std::collections::{HashMap, HashSet};

/// Rows of `claims` in one INSERT: 17 columns each.
const CLAIMS_PER_INSERT: usize = 500;

/// A claim on its way into the database.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its id, fixed before the first try.
    pub claim_id: ClaimId,
    /// The claim.
    pub claim: Claim,
    /// What its sender is warned about.
    pub warnings: Vec<Finding>,
    /// By what it is compared with the claims that are stored, where it is.
    pub duplicate_check: Option<DuplicateCheck>,
    /// The sender's key and the hash of the body it came with.
    pub idempotency: Option<IdempotencyKey>,
    /// The id of the request.
    pub correlation_id: String,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
}

/// A sender's key and the hash of the body it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The `Idempotency-Key` header.
    pub key: String,
    /// SHA-256 of the body, in hex.
    pub body_hash: String,
}

impl IdempotencyKey {
    /// The key of one claim of a batch.
    pub fn of_batch(key: &str, index: u64, body_hash: String) -> Self {
        Self { key: Self::name_in_batch(key, index), body_hash }
    }

    /// The key of a place in a batch: no sender can send it, since a header holds no line break.
    pub fn name_in_batch(key: &str, index: u64) -> String {
        format!("{key}\n{index}")
    }
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// It is stored.
    Accepted(Box<StoredClaim>),
    /// The same request was answered before: this claim.
    Replayed(Box<StoredClaim>),
    /// The key was used with another body.
    KeyReused,
    /// It equals this claim, and is refused for that.
    LikelyDuplicate {
        /// The claim that it equals.
        claim_id: String,
    },
    /// The sender's own id belongs to this claim.
    ExternalIdTaken {
        /// The claim that has it.
        claim_id: String,
    },
}

/// What became of a group, in its order, and which claims this try really inserted.
#[derive(Debug)]
pub struct Group {
    /// One for each submission.
    pub results: Vec<Submitted>,
    /// Those to be announced, in no particular order.
    pub inserted: Vec<StoredClaim>,
}

#[derive(Insertable)]
#[diesel(table_name = claims, treat_none_as_default_value = false)]
struct NewClaim<'a> {
    claim_id: &'a str,
    external_claim_id: Option<&'a str>,
    status: &'a str,
    needs_attention: bool,
    plan_group: &'a str,
    subscriber_id: &'a str,
    provider_npi: &'a str,
    net_fee_cents: i64,
    submitted_at_us: i64,
    warnings: &'a str,
    correlation_id: &'a str,
    traceparent: Option<&'a str>,
    version: i64,
    resync_epoch: i64,
    next_attempt_at_us: Option<i64>,
    request_count: i64,
    content_digest: Option<&'a [u8]>,
}

/// A claim that is about to be inserted.
struct Candidate<'a> {
    index: usize,
    submission: &'a Submission,
    /// The claim that it equals.
    equals: Option<String>,
}

/// Stores a group. `next_attempt_at_us` is when the watchdog asks for an outcome that has not come.
pub fn store(connection: &mut Connection, group: &[Submission], now_us: i64, next_attempt_at_us: i64) -> Result<Group> {
    let mut results: Vec<Option<Submitted>> = vec![None; group.len()];
    let twins = settle_keys(connection, group, now_us, &mut results)?;

    let mut waiting: Vec<Candidate<'_>> = group
        .iter()
        .enumerate()
        .filter(|(index, _)| results[*index].is_none() && !twins.contains_key(index))
        .map(|(index, submission)| Candidate { index, submission, equals: None })
        .collect();
    let digests = waiting.iter().filter_map(|candidate| candidate.submission.digest()).copied().collect();
    let mut standing = duplicates::active_with_content(connection, &digests)?;
    let mut inserted = Vec::new();
    // Claims of the group that equal each other are not inserted together: a later one names an earlier one only when that
    // is known to be stored.
    while !waiting.is_empty() {
        let (now, later) = split_equals(std::mem::take(&mut waiting), &standing);
        waiting = later;
        let now = refuse_equals(connection, now, &mut results)?;
        let stored = insert_candidates(connection, &now, now_us, next_attempt_at_us, &mut results)?;
        for (digest, claim) in &stored {
            if let Some(digest) = digest {
                standing.entry(*digest).or_insert_with(|| claim.row.claim_id.clone());
            }
        }
        inserted.extend(stored.into_iter().map(|(_, claim)| claim));
    }

    for (twin, first) in twins {
        results[twin] = match &results[first] {
            Some(Submitted::Accepted(claim)) => Some(Submitted::Replayed(claim.clone())),
            other => other.clone(),
        };
    }

    let lines: Vec<&LineRow> = inserted.iter().flat_map(|claim| &claim.lines).collect();
    for chunk in lines.chunks(ROWS_PER_INSERT) {
        on_each_backend!(connection, |c| diesel::insert_into(claim_lines::table).values(chunk.to_vec()).execute(c))?;
    }
    let mut totals = Changes::default();
    for claim in &inserted {
        totals.add(&claim.row.provider_npi, claim.row.net_fee_cents);
    }
    totals.apply(connection)?;

    let results = results.into_iter().map(|result| result.expect("every submission was settled above")).collect();
    Ok(Group { results, inserted })
}

/// Claims the group's idempotency keys and settles the submissions whose key another request holds. Returns the twins:
/// repeats of a request in this very group, each with the place of the first, whose fate they share.
fn settle_keys(
    connection: &mut Connection,
    group: &[Submission],
    now_us: i64,
    results: &mut [Option<Submitted>],
) -> Result<HashMap<usize, usize>> {
    let mut twins = HashMap::new();
    let mut seen = HashSet::new();
    let mut keys: Vec<NewKey> = group
        .iter()
        .filter_map(|submission| Some((submission, submission.idempotency.as_ref()?)))
        .filter(|(_, idempotency)| seen.insert(idempotency.key.as_str()))
        .map(|(submission, idempotency)| NewKey {
            idempotency_key: idempotency.key.clone(),
            body_hash: idempotency.body_hash.clone(),
            claim_id: submission.claim_id.as_str().to_owned(),
            created_at_us: now_us,
        })
        .collect();
    if keys.is_empty() {
        return Ok(twins);
    }
    keys.sort_by(|a, b| a.idempotency_key.cmp(&b.idempotency_key));
    let holders = idempotency::claim_keys(connection, &keys)?;
    let own: HashMap<&str, usize> =
        group.iter().enumerate().map(|(index, submission)| (submission.claim_id.as_str(), index)).collect();
    for (index, submission) in group.iter().enumerate() {
        let Some(idempotency) = &submission.idempotency else { continue };
        let Some(holder) = holders.get(&idempotency.key) else { continue };
        if holder.claim_id == submission.claim_id.as_str() {
            continue;
        }
        match own.get(holder.claim_id.as_str()) {
            Some(first) if holder.body_hash == idempotency.body_hash => {
                twins.insert(index, *first);
            }
            _ => results[index] = Some(of_known_key(connection, holder, idempotency)?),
        }
    }
    Ok(twins)
}

/// What becomes of a request whose key another request holds.
pub(super) fn of_known_key(
    connection: &mut Connection,
    holder: &Holder,
    idempotency: &IdempotencyKey,
) -> Result<Submitted> {
    if holder.body_hash != idempotency.body_hash {
        return Ok(Submitted::KeyReused);
    }
    let claim = claim_queries::find(connection, &holder.claim_id)?.ok_or(dual_db::Error::Conflict)?;
    Ok(Submitted::Replayed(Box::new(claim.as_first_answered())))
}

/// Sets apart those that equal another one of them, and notes which claim that stands the others equal. An earlier try may
/// have stored a claim already: it does not equal itself.
fn split_equals<'a>(
    waiting: Vec<Candidate<'a>>,
    standing: &HashMap<ContentDigest, String>,
) -> (Vec<Candidate<'a>>, Vec<Candidate<'a>>) {
    let mut first_of = HashSet::new();
    let (mut now, mut later) = (Vec::with_capacity(waiting.len()), Vec::new());
    for mut candidate in waiting {
        match candidate.submission.digest().map(|digest| (digest, standing.get(digest))) {
            None => now.push(candidate),
            Some((_, Some(earlier))) => {
                candidate.equals = Some(earlier.clone()).filter(|id| id != candidate.submission.claim_id.as_str());
                now.push(candidate);
            }
            Some((digest, None)) if first_of.insert(*digest) => now.push(candidate),
            Some(_) => later.push(candidate),
        }
    }
    (now, later)
}

/// Settles those that are refused because they equal a claim that stands, and returns the others. One that an earlier try
/// stored, when it equalled none, is not refused any more.
fn refuse_equals<'a>(
    connection: &mut Connection,
    candidates: Vec<Candidate<'a>>,
    results: &mut [Option<Submitted>],
) -> Result<Vec<Candidate<'a>>> {
    let (equal, mut others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(Candidate::is_to_be_refused);
    if equal.is_empty() {
        return Ok(others);
    }
    let ids: Vec<&str> = equal.iter().map(|candidate| candidate.submission.claim_id.as_str()).collect();
    let stored = duplicates::stored_of(connection, &ids)?;
    for candidate in equal {
        let id = candidate.submission.claim_id.as_str();
        if stored.contains(id) {
            others.push(candidate);
        } else if let Some(claim_id) = candidate.equals {
            candidate.submission.release_key(connection)?;
            results[candidate.index] = Some(Submitted::LikelyDuplicate { claim_id });
        }
    }
    Ok(others)
}

/// Inserts candidates, settles each of them, and returns those that were really inserted, with their digests.
fn insert_candidates(
    connection: &mut Connection,
    candidates: &[Candidate<'_>],
    now_us: i64,
    next_attempt_at_us: i64,
    results: &mut [Option<Submitted>],
) -> Result<Vec<(Option<ContentDigest>, StoredClaim)>> {
    let stored: Vec<StoredClaim> =
        candidates.iter().map(|candidate| to_stored(candidate, now_us, next_attempt_at_us)).collect();
    let digests: Vec<Option<&ContentDigest>> =
        candidates.iter().map(|candidate| candidate.submission.digest()).collect();
    let keys = insert_claims(connection, &stored, &digests)?;
    let mut inserted = Vec::with_capacity(stored.len());
    for (candidate, mut claim) in candidates.iter().zip(stored) {
        let Some(key) = keys.get(&claim.row.claim_id) else {
            results[candidate.index] = Some(explain_missing(connection, candidate.submission)?);
            continue;
        };
        claim.row.id = *key;
        for line in &mut claim.lines {
            line.claim_key = *key;
        }
        results[candidate.index] = Some(Submitted::Accepted(Box::new(claim.clone())));
        inserted.push((candidate.submission.digest().copied(), claim));
    }
    Ok(inserted)
}

impl Submission {
    /// Gives its key back, since it is refused after all.
    fn release_key(&self, connection: &mut Connection) -> Result<()> {
        match &self.idempotency {
            Some(own) => idempotency::release_key(connection, &own.key, self.claim_id.as_str()),
            None => Ok(()),
        }
    }

    fn digest(&self) -> Option<&ContentDigest> {
        self.duplicate_check.as_ref().map(|check| &check.digest)
    }
}

impl Candidate<'_> {
    fn is_to_be_refused(&self) -> bool {
        self.equals.is_some() && self.submission.duplicate_check.as_ref().is_some_and(|check| check.refuse)
    }
}

/// Inserts the claims that are new and returns their keys by public id.
fn insert_claims(
    connection: &mut Connection,
    stored: &[StoredClaim],
    digests: &[Option<&ContentDigest>],
) -> Result<HashMap<String, i64>> {
    let mut keys = HashMap::with_capacity(stored.len());
    for (chunk, digests) in stored.chunks(CLAIMS_PER_INSERT).zip(digests.chunks(CLAIMS_PER_INSERT)) {
        let rows: Vec<NewClaim<'_>> =
            chunk.iter().zip(digests).map(|(claim, digest)| new_claim(&claim.row, *digest)).collect();
        let inserted: Vec<(String, i64)> = on_each_backend!(connection, |c| {
            diesel::insert_into(claims::table)
                .values(&rows)
                .on_conflict_do_nothing()
                .returning((claims::claim_id, claims::id))
                .get_results(c)
        })?;
        keys.extend(inserted);
    }
    Ok(keys)
}

/// Why a claim was not inserted: an earlier try stored it, or its external id is taken.
fn explain_missing(connection: &mut Connection, submission: &Submission) -> Result<Submitted> {
    if let Some(own) = claim_queries::find(connection, submission.claim_id.as_str())? {
        return Ok(Submitted::Accepted(Box::new(own.as_first_answered())));
    }
    let external_id = submission.claim.external_claim_id.as_ref().map(|id| id.as_str());
    let holder = duplicates::holders(connection, external_id.as_slice())?.into_values().next();
    submission.release_key(connection)?;
    // Not found any more: whoever had it was rolled back meanwhile, so the group is worth another try.
    holder.map(|claim_id| Submitted::ExternalIdTaken { claim_id }).ok_or(dual_db::Error::Conflict)
}

fn to_stored(candidate: &Candidate<'_>, now_us: i64, next_attempt_at_us: i64) -> StoredClaim {
    let submission = candidate.submission;
    let claim = &submission.claim;
    let mut warnings = submission.warnings.clone();
    if let Some(equal) = &candidate.equals {
        warnings.insert(0, likely_duplicate(equal));
    }
    let row = ClaimRow {
        id: 0,
        claim_id: submission.claim_id.as_str().to_owned(),
        external_claim_id: claim.external_claim_id.as_ref().map(|id| id.as_str().to_owned()),
        status: Status::Submitted.name().to_owned(),
        needs_attention: false,
        plan_group: claim.plan_group.as_str().to_owned(),
        subscriber_id: claim.subscriber_id.as_str().to_owned(),
        provider_npi: claim.provider_npi.as_str().to_owned(),
        net_fee_cents: claim.net_fee().0,
        submitted_at_us: now_us,
        warnings: serde_json::to_string(&warnings).expect("findings are plain data"),
        correlation_id: submission.correlation_id.clone(),
        traceparent: submission.traceparent.clone(),
        version: 1,
        resync_epoch: 0,
        outcome: None,
        next_attempt_at_us: Some(next_attempt_at_us),
        request_count: 0,
        voided_at_us: None,
        void_reason: None,
    };
    StoredClaim { row, lines: line_rows(claim), timeline: Vec::new() }
}

/// The rows of a claim's lines, before the claim has a key.
pub fn line_rows(claim: &Claim) -> Vec<LineRow> {
    claim
        .lines
        .iter()
        .zip(1_i64..)
        .map(|(line, number)| LineRow {
            claim_key: 0,
            line: number,
            service_date: line.service_date.to_string(),
            submitted_procedure: line.submitted_procedure.as_str().to_owned(),
            quadrant: line.quadrant.map(|quadrant| quadrant.as_str().to_owned()),
            provider_fees_cents: line.provider_fees.0,
            allowed_fees_cents: line.allowed_fees.0,
            member_coinsurance_cents: line.member_coinsurance.0,
            member_copay_cents: line.member_copay.0,
            net_fee_cents: line.net_fee().0,
        })
        .collect()
}

fn new_claim<'a>(row: &'a ClaimRow, digest: Option<&'a ContentDigest>) -> NewClaim<'a> {
    NewClaim {
        claim_id: &row.claim_id,
        external_claim_id: row.external_claim_id.as_deref(),
        status: &row.status,
        needs_attention: row.needs_attention,
        plan_group: &row.plan_group,
        subscriber_id: &row.subscriber_id,
        provider_npi: &row.provider_npi,
        net_fee_cents: row.net_fee_cents,
        submitted_at_us: row.submitted_at_us,
        warnings: &row.warnings,
        correlation_id: &row.correlation_id,
        traceparent: row.traceparent.as_deref(),
        version: row.version,
        resync_epoch: row.resync_epoch,
        next_attempt_at_us: row.next_attempt_at_us,
        request_count: row.request_count,
        content_digest: digest.map(<[u8; 32]>::as_slice),
    }
}

#[cfg(test)]
mod tests {
    use super::IdempotencyKey;

    #[test]
    fn each_place_of_each_batch_has_a_key_of_its_own() {
        let name = IdempotencyKey::name_in_batch;
        assert_ne!(name("a", 11), name("a1", 1));
        assert_ne!(name("a1", 10), name("a11", 0));
        assert_ne!(name("a", 11), "a11", "a single claim's key is no place of a batch");
        let of_batch = IdempotencyKey::of_batch("a", 11, "hash".to_owned());
        assert_eq!((of_batch.key, of_batch.body_hash.as_str()), (name("a", 11), "hash"));
    }
}
