//! The checks that storing a claim would make, without storing it: the rules, and a look at the claims that are stored.

use crate::db::duplicates;
use crate::domain::canonical::canonical;
use crate::domain::claim::Claim;
use crate::domain::finding::Finding;
use crate::domain::raw_claim::RawClaim;
use crate::domain::rules::likely_duplicate::{DuplicateCheck, finding as likely_duplicate};
use crate::domain::rules::rule_set::{RuleSet, Validation};
use crate::intake::batch_input::Refusal;
use dual_db::{Database, Result};
use jiff::Timestamp;
use service_runtime::database_gate::{DatabaseGate, GateError};

/// By what a claim that breaks no rule is compared with those that are stored.
#[derive(Debug, Clone)]
pub struct Comparison {
    external_key: Option<String>,
    duplicate_check: Option<DuplicateCheck>,
}

impl Comparison {
    /// That of a claim, under these rules.
    pub fn new(rules: &RuleSet, claim: &Claim) -> Self {
        let external_key = claim.external_claim_id.as_ref().map(|id| canonical(id.as_str()).into_owned());
        Self { external_key, duplicate_check: rules.duplicate_check(claim) }
    }
}

/// What the claims that are stored now do to a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// What would refuse it.
    pub refused: Vec<Finding>,
    /// What its sender would be warned of besides.
    pub warning: Option<Finding>,
}

/// Compares claims with those that are stored now, in one query for each kind of comparison, and changes nothing. Blocks.
/// It sees neither what other senders store meanwhile nor the claims beside these.
///
/// # Errors
/// The database's.
pub fn preflight(database: &Database, claims: &[Comparison]) -> Result<Vec<Preflight>> {
    let digests = claims.iter().filter_map(|claim| Some(claim.duplicate_check.as_ref()?.digest)).collect();
    let external_keys: Vec<&str> = claims.iter().filter_map(|claim| claim.external_key.as_deref()).collect();
    let (active, holders) = database.read(|connection| {
        let active = duplicates::active_claims(connection, &digests)?;
        Ok((active, duplicates::external_id_holders(connection, &external_keys)?))
    })?;
    let compared = claims.iter().map(|claim| {
        let mut compared = Preflight::default();
        if let Some(check) = &claim.duplicate_check
            && let Some(duplicate_of) = active.get(&check.digest)
        {
            let finding = likely_duplicate(duplicate_of);
            if check.refuse {
                compared.refused.push(finding);
            } else {
                compared.warning = Some(finding);
            }
        }
        let holder = claim.external_key.as_ref().and_then(|key| holders.get(key));
        compared.refused.extend(holder.map(|holder| Refusal::ExternalIdTaken(holder.clone()).finding()));
        compared
    });
    Ok(compared.collect())
}

/// Checks a claim that comes now like [`submit`](super::submit), and stores nothing.
///
/// # Errors
/// [`GateError`].
pub async fn validate(
    rules: &RuleSet,
    database: &DatabaseGate,
    raw: &RawClaim,
) -> std::result::Result<Validation, GateError> {
    let mut validation = rules.validate(raw, Timestamp::now());
    let Some(claim) = &validation.claim else { return Ok(validation) };
    let comparison = [Comparison::new(rules, claim)];
    for Preflight { refused, warning } in database.try_run(move |database| preflight(database, &comparison)).await? {
        validation.warnings.splice(0..0, warning);
        validation.refused.extend(refused);
    }
    validation.claim = validation.claim.filter(|_| validation.refused.is_empty());
    Ok(validation)
}
