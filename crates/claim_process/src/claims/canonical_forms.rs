//! Gives claims that were stored before there were canonical forms theirs: a bounded number in each transaction, and each claim once,
//! however often it is interrupted. It runs after the migrations and before the service takes claims.
//!
//! Of two earlier claims of an owner whose own numbers have one canonical form, the older one keeps it. The later one has none: it is
//! found by its id, and its number is taken.

use crate::db::canonical_forms::{self, EarlierClaim, Forms};
use crate::db::claims::{LineRow, lines_of};
use crate::domain::canonical::canonical;
use crate::domain::rules::likely_duplicate::{ContentLine, content_digest};
use crate::domain::transition::Status;
use dual_db::{Connection, Database, Result};
use std::collections::HashSet;

/// Claims in one transaction: a second's work at most.
const CLAIMS_PER_STEP: i64 = 5_000;

/// Two claims whose own numbers have one canonical form, by their public ids.
struct Collision {
    claim_id: String,
    keeper: String,
}

/// What a step did.
struct Step {
    claims: usize,
    collisions: Vec<Collision>,
}

/// Whether every claim that is stored has its forms.
///
/// # Errors
/// The database's, here and below.
pub fn are_complete(database: &Database) -> Result<bool> {
    database.read(|connection| Ok(canonical_forms::progress(connection)?.is_none()))
}

/// Writes what is missing, and returns how many claims it looked at.
pub fn complete(database: &Database) -> Result<usize> {
    let mut claims = 0;
    // Looks first: writing would wait for an instance that stores claims.
    while !are_complete(database)? {
        let Some(step) = database.write(step)? else { break };
        for Collision { claim_id, keeper } in step.collisions {
            tracing::warn!(
                claim_id,
                keeper,
                "two claims have one external_claim_id by its canonical form, only the older one is found by it"
            );
        }
        claims += step.claims;
        tracing::info!(claims, "canonical forms of earlier claims written");
    }
    Ok(claims)
}

fn step(connection: &mut Connection) -> Result<Option<Step>> {
    let Some(above) = canonical_forms::lock_progress(connection)? else { return Ok(None) };
    let claims = canonical_forms::earlier_claims(connection, above, CLAIMS_PER_STEP)?;
    let Some(last) = claims.last() else {
        canonical_forms::record_progress(connection, None)?;
        return Ok(None);
    };
    let compared: Vec<i64> = claims.iter().filter(|claim| is_compared(claim)).map(|claim| claim.id).collect();
    let lines = lines_of(connection, &compared)?;
    let wanted: HashSet<String> = claims.iter().filter_map(missing_key).collect();
    let mut holders = canonical_forms::holders(connection, &wanted.into_iter().collect::<Vec<_>>())?;
    let mut collisions = Vec::new();
    let mut forms = Vec::new();
    for claim in &claims {
        let external_claim_key = missing_key(claim).filter(|key| {
            let holder = holders.entry((claim.owner.clone(), key.clone())).or_insert_with(|| claim.claim_id.clone());
            if *holder != claim.claim_id {
                collisions.push(Collision { claim_id: claim.claim_id.clone(), keeper: holder.clone() });
            }
            *holder == claim.claim_id
        });
        let content_digest = lines.get(&claim.id).map(|lines| digest(claim, lines));
        if external_claim_key.is_some() || content_digest.is_some() {
            forms.push(Forms { id: claim.id, external_claim_key, content_digest });
        }
    }
    canonical_forms::write(connection, &forms)?;
    canonical_forms::record_progress(connection, Some(last.id))?;
    Ok(Some(Step { claims: claims.len(), collisions }))
}

/// The canonical form that a claim has not got yet.
fn missing_key(claim: &EarlierClaim) -> Option<String> {
    let external_id = claim.external_claim_id.as_deref().filter(|_| claim.external_claim_key.is_none())?;
    Some(canonical(external_id).into_owned())
}

/// Whether later claims are compared with it.
fn is_compared(claim: &EarlierClaim) -> bool {
    claim.content_digest.is_some() && matches!(claim.status, Status::Submitted | Status::Settled)
}

fn digest(claim: &EarlierClaim, lines: &[LineRow]) -> [u8; 32] {
    let lines = lines.iter().map(|line| ContentLine {
        service_date: &line.service_date,
        submitted_procedure: &line.submitted_procedure,
        quadrant: line.quadrant.as_deref().unwrap_or_default(),
        amounts_cents: [
            line.provider_fees_cents,
            line.allowed_fees_cents,
            line.member_coinsurance_cents,
            line.member_copay_cents,
        ],
    });
    content_digest(&claim.plan_group, &claim.subscriber_id, &claim.provider_npi, lines)
}
