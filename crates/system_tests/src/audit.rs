//! Checks the system when all claims have ended: every claim ended as its cents demand, the ledger balances, its cash equals the
//! gateway's own book claim by claim, and the providers' totals are the sums of their claims.

use crate::api::Api;
use crate::fates::{Fate, cents};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// An accepted claim: it was answered with 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The claim's id.
    pub id: String,
    /// The fate that its cents choose.
    pub fate: Fate,
    /// Whether a void of it was accepted.
    pub voided: bool,
}

impl Accepted {
    /// A claim without a void.
    pub fn new(id: String, fate: Fate) -> Self {
        Self { id, fate, voided: false }
    }
}

/// How strictly the end of a claim is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The claim ended once, with the cause and the compensations of its fate.
    EndedOnce,
    /// The money and the status are right. After a restore, payments may end a claim again with another cause, and a budget
    /// cannot refuse a payment that may already have been made.
    EndedRight,
}

/// Waits up to `timeout` until the accepted claims have ended, and checks everything. Returns the number of claims by their end.
///
/// # Panics
/// At the first violation.
pub async fn check(
    api: &Api,
    accepted: &[Accepted],
    timeout: Duration,
    strictness: Strictness,
) -> BTreeMap<&'static str, usize> {
    let until = Instant::now() + timeout;
    let mut ends = BTreeMap::new();
    for Accepted { id, fate, voided } in accepted {
        // A claim that is voided or returned late may be settled first.
        let wanted = match (voided, fate) {
            (true, _) | (_, Fate::ReturnedLater | Fate::ReturnedInParts) => &["unwound"][..],
            _ => &["settled", "unwound"],
        };
        let claim = api.ended_as(id, wanted, until).await;
        let end = match (voided, strictness) {
            (true, _) => {
                assert_eq!(claim["status"], "unwound", "an accepted void ends unwound: {claim}");
                "voided and unwound"
            }
            (false, Strictness::EndedOnce) => {
                check_end(&claim, *fate);
                fate.end().status
            }
            (false, Strictness::EndedRight) => {
                let overdrawn = *fate == Fate::Broke && claim["status"] == "settled";
                assert!(overdrawn || claim["status"] == fate.end().status, "{fate:?}: {claim}");
                if overdrawn { "settled beyond a budget" } else { fate.end().status }
            }
        };
        *ends.entry(end).or_insert(0) += 1;
    }
    let claims = api.all_claims().await;
    check_claims(&claims, accepted);
    check_totals(api, &claims).await;
    check_books(api, &claims).await;
    let reconciliation = api.reconciliation().await;
    assert_eq!(reconciliation["agrees"], true, "{reconciliation}");
    assert_eq!(reconciliation["pending"]["claims"], 0, "{reconciliation}");
    assert_eq!(reconciliation["submitted"]["claims"], accepted.len(), "{reconciliation}");
    ends
}

/// Checks that a claim ended as its fate demands.
///
/// # Panics
/// If it did not.
pub fn check_end(claim: &Value, fate: Fate) {
    let end = fate.end();
    assert_eq!(claim["status"], end.status, "{fate:?}: {claim}");
    let outcome = &claim["outcome"];
    if end.status == "unwound" {
        assert_eq!(outcome["cause"].as_str(), end.cause, "{fate:?}: {claim}");
        assert_eq!(outcome["failed_step"].as_str(), end.failed_step, "{fate:?}: {claim}");
        if matches!(fate, Fate::ReturnedLater | Fate::ReturnedInParts) {
            // Under faults the return may arrive before the payment is recorded, or before the settlement is published: then
            // there was nothing to reverse, or there is only one outcome.
            return;
        }
        assert_eq!(outcome["compensations"], serde_json::json!(end.compensations), "{fate:?}: {claim}");
    } else {
        assert_eq!(outcome["amount"], claim["net_fee"], "{fate:?}: {claim}");
    }
    assert_eq!(outcome["version"], 1, "one end, once: {claim}");
    assert_eq!(claim["timeline"].as_array().map(Vec::len), Some(2), "applied once: {claim}");
}

/// Checks that every accepted claim is stored exactly once.
fn check_claims(claims: &[Value], accepted: &[Accepted]) {
    let mut stored: Vec<&str> = claims.iter().filter_map(|claim| claim["id"].as_str()).collect();
    let mut expected: Vec<&str> = accepted.iter().map(|claim| claim.id.as_str()).collect();
    stored.sort_unstable();
    expected.sort_unstable();
    assert_eq!(stored, expected, "the stored claims are the accepted ones");
}

async fn check_totals(api: &Api, claims: &[Value]) {
    let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for claim in claims.iter().filter(|claim| claim["status"] != "unwound") {
        let provider = claim["provider_npi"].as_str().expect("a provider").to_owned();
        let total = expected.entry(provider).or_default();
        *total = (total.0 + cents(&claim["net_fee"]), total.1 + 1);
    }
    let top = api.top_providers().await.expect("the top providers answer");
    let listed: BTreeMap<String, (i64, i64)> = top["providers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|provider| {
            let npi = provider["provider_npi"].as_str().expect("a provider").to_owned();
            (npi, (cents(&provider["net_fee"]), provider["claims"].as_i64().expect("a count")))
        })
        .collect();
    assert_eq!(listed, expected, "the providers' totals are the sums of their claims");
}

async fn check_books(api: &Api, claims: &[Value]) {
    let audit = api.audit().await;
    let summary = api.book_summary().await;
    assert_eq!(audit["balanced"], true, "{audit}");
    assert_eq!(audit["cash_out_cents"], summary["net_cents"], "the ledger's cash is the gateway's book");
    let paid: i64 =
        claims.iter().filter(|claim| claim["status"] == "settled").map(|claim| cents(&claim["net_fee"]).max(0)).sum();
    assert_eq!(summary["net_cents"].as_i64(), Some(paid), "the gateway paid the net fees of the settled claims");

    let book: BTreeMap<String, i64> = api
        .book_claims()
        .await
        .iter()
        .map(|entry| {
            assert!(entry["payments"].as_i64() <= Some(1), "paid twice: {entry}");
            let net = entry["money_out_cents"].as_i64().unwrap_or(0) - entry["money_back_cents"].as_i64().unwrap_or(0);
            (entry["reference"].as_str().expect("a reference").to_owned(), net)
        })
        .collect();
    let ledger = api.ledger_claims().await;
    assert_eq!(ledger.len(), claims.len(), "each claim has a payment");
    for books in &ledger {
        let id = books["claim_id"].as_str().expect("a claim id");
        assert_eq!(cents(&books["cash_out"]), book.get(id).copied().unwrap_or(0), "claim {id}: {books}");
    }
}
