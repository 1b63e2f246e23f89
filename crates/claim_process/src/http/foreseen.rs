//! What storing a claim would find of those that are stored already, for claims that are only checked.

use crate::db::duplicates;
use crate::domain::claim::Claim;
use crate::domain::finding::Finding;
use crate::domain::rules::likely_duplicate::{DuplicateCheck, finding as likely_duplicate};
use crate::domain::rules::rule_set::RuleSet;
use crate::intake::batch::Refusal;
use dual_db::{Database, Result};

/// A claim that breaks no rule by itself, as far as it is compared with those that are stored.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    external_claim_id: Option<String>,
    duplicate_check: Option<DuplicateCheck>,
}

impl Checked {
    pub(super) fn new(rules: &RuleSet, claim: &Claim) -> Self {
        let external_claim_id = claim.external_claim_id.as_ref().map(|id| id.as_str().to_owned());
        Self { external_claim_id, duplicate_check: rules.duplicate_check(claim) }
    }
}

/// What would refuse a claim, and what its sender would be warned of besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Foreseen {
    pub refused: Vec<Finding>,
    pub warning: Option<Finding>,
}

/// Looks at what is stored now, in one query for each kind of comparison, and changes nothing. Blocks. What other senders
/// store meanwhile, and the claims beside these, are not foreseen.
pub(super) fn foresee(database: &Database, claims: &[Checked]) -> Result<Vec<Foreseen>> {
    let digests = claims.iter().filter_map(|claim| Some(claim.duplicate_check.as_ref()?.digest)).collect();
    let external_ids: Vec<&str> = claims.iter().filter_map(|claim| claim.external_claim_id.as_deref()).collect();
    let (standing, holders) = database.read(|connection| {
        Ok((duplicates::standing(connection, &digests)?, duplicates::holders(connection, &external_ids)?))
    })?;
    let foreseen = claims.iter().map(|claim| {
        let mut foreseen = Foreseen::default();
        if let Some(check) = &claim.duplicate_check
            && let Some(equal) = standing.get(&check.digest)
        {
            let finding = likely_duplicate(equal);
            if check.refuse {
                foreseen.refused.push(finding);
            } else {
                foreseen.warning = Some(finding);
            }
        }
        let holder = claim.external_claim_id.as_ref().and_then(|id| holders.get(id));
        foreseen.refused.extend(holder.map(|holder| Refusal::ExternalIdTaken(holder.clone()).finding()));
        foreseen
    });
    Ok(foreseen.collect())
}
