//! The ledger and the gateway's own book, against each other and the claims.

use crate::observed::{Direction, Observed, Transfer, Weight};
use crate::violation::{Report, Rule};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const CASH: &str = "cash";

pub(crate) fn check(observed: &Observed, report: &mut Report) {
    check_ledger(&observed.transfers, report);
    let cash = cash_out(&observed.transfers);
    let (mut paid, mut payments): (BTreeMap<&str, i64>, BTreeMap<&str, usize>) = Default::default();
    for entry in &observed.book {
        let of = entry.reference.as_str();
        *paid.entry(of).or_default() += match entry.direction {
            Direction::Out => entry.amount_cents,
            Direction::Back => -entry.amount_cents,
        };
        *payments.entry(of).or_default() += usize::from(entry.direction == Direction::Out);
    }
    report.count("payments of the gateway", payments.values().sum());
    let claims: BTreeSet<&str> = cash.keys().chain(paid.keys()).copied().collect();
    for claim in claims {
        let [cash, paid] = [&cash, &paid].map(|of| of.get(claim).copied().unwrap_or(0));
        if cash != paid {
            report.violation(Rule::CashIsBook, claim, format!("the ledger paid {cash} cents, the gateway {paid}"));
        }
    }
    for claim in &observed.claims {
        let id = claim.id.as_str();
        let paid = paid.remove(id).unwrap_or(0);
        let payments = payments.remove(id).unwrap_or(0);
        let due = if claim.status == "settled" { claim.content.net_fee_cents.max(0) } else { 0 };
        if paid != due || payments > 1 {
            report.violation(
                Rule::PaidOnce,
                id,
                format!("it is {}: {due} cents are due, the gateway paid {paid} in {payments} payments", claim.status),
            );
        }
    }
    for (reference, cents) in paid {
        report.violation(
            Rule::PaidOnce,
            reference,
            format!("the gateway has {cents} cents for a claim that is not stored"),
        );
    }
}

/// What left the account `cash`, by claim.
fn cash_out(transfers: &[Transfer]) -> BTreeMap<&str, i64> {
    let mut cash: BTreeMap<&str, i64> = BTreeMap::new();
    for transfer in transfers.iter().filter(|transfer| transfer.weight == Weight::Posted) {
        let sign = i64::from(transfer.credit == CASH) - i64::from(transfer.debit == CASH);
        *cash.entry(&transfer.claim_id).or_default() += sign * transfer.amount_cents;
    }
    cash.retain(|_, cents| *cents != 0);
    cash
}

fn check_ledger(transfers: &[Transfer], report: &mut Report) {
    report.count("transfers", transfers.len());
    let by_id: HashMap<&str, &Transfer> = transfers.iter().map(|transfer| (transfer.id.as_str(), transfer)).collect();
    let (mut ended, mut reversed): (HashMap<&str, usize>, HashMap<&str, usize>) = Default::default();
    for transfer in transfers {
        if transfer.amount_cents <= 0 || transfer.debit == transfer.credit {
            report.violation(
                Rule::LedgerIsSound,
                &transfer.id,
                "it moves nothing, or to the account that it comes from",
            );
        }
        for (other, count) in [(&transfer.ends_pending, &mut ended), (&transfer.reverses, &mut reversed)] {
            let Some(other) = other else { continue };
            *count.entry(other).or_default() += 1;
            match by_id.get(other.as_str()) {
                Some(found) if found.claim_id == transfer.claim_id && found.amount_cents == transfer.amount_cents => {}
                Some(_) => report.violation(
                    Rule::LedgerIsSound,
                    &transfer.id,
                    "it ends or reverses a transfer of another claim or amount",
                ),
                None => {
                    report.violation(
                        Rule::LedgerIsSound,
                        &transfer.id,
                        "it ends or reverses a transfer that is not there",
                    );
                }
            }
        }
    }
    if by_id.len() < transfers.len() {
        report.violation(Rule::LedgerIsSound, "transfers", "two have the same id");
    }
    for transfer in transfers {
        let of = |count: &HashMap<&str, usize>| count.get(transfer.id.as_str()).copied().unwrap_or(0);
        let (ends, reversals) = (of(&ended), of(&reversed));
        let pending = transfer.weight == Weight::Pending;
        if (pending && ends != 1) || (!pending && ends != 0) || reversals > 1 {
            report.violation(
                Rule::LedgerIsSound,
                &transfer.id,
                format!("it is {:?}, ended {ends} times and reversed {reversals} times", transfer.weight),
            );
        }
    }
}
