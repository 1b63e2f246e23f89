//! What is stored, for those who read it. Each function blocks and makes one consistent read.

use crate::db::{ledger, operator_actions, returns, sagas};
use crate::domain::saga::State;
use crate::executor::returns::missing_cents;
use dual_db::{Database, Result};
use std::collections::BTreeSet;

pub use crate::db::ledger::{Balance, ClaimBooks, TransferRow, Turnover};
pub use crate::db::operator_actions::OperatorActionRow;
pub use crate::db::returns::GatewayReturn;
pub use crate::db::sagas::{ListFilter, Listed, StoredSaga};

/// A claim's payment.
#[derive(Debug)]
pub struct Payment {
    /// Its saga.
    pub saga: StoredSaga,
    /// Its transfers in the ledger.
    pub transfers: Vec<TransferRow>,
    /// What operators did about it last.
    pub operator_actions: Vec<OperatorActionRow>,
}

/// Debits and credits, overall and claim by claim.
#[derive(Debug)]
pub struct Audit {
    /// Those of each account.
    pub turnovers: Vec<Turnover>,
    /// How many payments there are in each state.
    pub payments: Vec<(State, i64)>,
    /// Claims whose money is not where their sagas say.
    pub off: Vec<ClaimBooks>,
    /// A page of all claims.
    pub claims: Vec<ClaimBooks>,
}

/// The payment of a claim, with up to `max_actions` of what operators did.
///
/// # Errors
/// The database's, here and below.
pub fn find_payment(database: &Database, claim_id: &str, max_actions: i64) -> Result<Option<Payment>> {
    database.read(|connection| {
        let Some(saga) = sagas::find(connection, claim_id)? else { return Ok(None) };
        let transfers = ledger::of_claim(connection, claim_id)?;
        let operator_actions = operator_actions::last_of_claim(connection, claim_id, max_actions)?;
        Ok(Some(Payment { saga, transfers, operator_actions }))
    })
}

/// Up to `limit` payments, newest first.
pub fn list_payments(database: &Database, filter: &ListFilter, limit: i64) -> Result<Vec<Listed>> {
    database.read(|connection| sagas::list(connection, filter, limit))
}

/// Up to `limit` accounts behind the one named `after`, in the order of their names.
pub fn balances(database: &Database, after: &str, limit: i64) -> Result<Vec<Balance>> {
    database.read(|connection| ledger::balances(connection, after, limit))
}

/// A report that waits.
#[derive(Debug)]
pub struct WaitingReturn {
    /// The report.
    pub reported: GatewayReturn,
    /// What is missing until the returns of its payment are a full one, in cents, where that is known.
    pub missing_cents: Option<i64>,
}

/// Up to `limit` reports behind the one with the id `after` that could not be booked yet, in the order of their ids.
pub fn waiting_returns(database: &Database, after: &str, limit: i64) -> Result<Vec<WaitingReturn>> {
    database.read(|connection| {
        connection.snapshot(|connection| {
            let waiting = returns::list_waiting(connection, after, limit)?;
            let claim_ids: BTreeSet<&str> = waiting.iter().map(|reported| reported.claim_id.as_str()).collect();
            let missing = missing_cents(connection, &claim_ids.into_iter().collect::<Vec<_>>())?;
            let missing_of = |reported: &GatewayReturn| {
                let is_part = reported.kind == returns::PAYMENT_RETURNED && !reported.is_ambiguous;
                missing.get(&reported.claim_id).copied().filter(|_| is_part)
            };
            Ok(waiting
                .into_iter()
                .map(|reported| WaitingReturn { missing_cents: missing_of(&reported), reported })
                .collect())
        })
    })
}

/// The audit, from one snapshot: up to `max_off` claims that are off, and up to `limit` claims behind the one with the id
/// `after`.
pub fn audit(database: &Database, max_off: i64, after: &str, limit: i64) -> Result<Audit> {
    database.read(|connection| {
        connection.snapshot(|connection| {
            Ok(Audit {
                turnovers: ledger::turnovers(connection)?,
                payments: sagas::counts(connection)?,
                off: ledger::books_that_are_off(connection, max_off)?,
                claims: ledger::books(connection, after, limit)?,
            })
        })
    })
}
