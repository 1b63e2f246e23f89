//! The ledger's table: transfers are added and read, never changed. Its unique keys hold what the ledger promises.

use super::schema::ledger_transfers;
use super::statement::{insert_statement, write_rows};
use crate::domain::ledger::{Kind, Transfer, Weight};
use crate::domain::saga::State;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use dual_db::{Connection, Result, on_each_backend};

/// A transfer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = ledger_transfers)]
#[allow(missing_docs)]
pub struct TransferRow {
    pub id: String,
    pub claim_id: String,
    pub kind: Kind,
    pub debit_account: String,
    pub credit_account: String,
    pub amount_cents: i64,
    pub weight: Weight,
    pub ends_pending: Option<String>,
    pub reverses: Option<String>,
    pub booked_at_us: i64,
}

insert_statement!(
    InsertTransfers,
    "ledger_transfers (id, claim_id, kind, debit_account, credit_account, amount_cents, weight, ends_pending, reverses, \
     booked_at_us)",
    ""
);

/// Books transfers. One that is there already is refused by the database, and all of them with it.
pub fn book_all(connection: &mut Connection, transfers: &[Transfer], now_us: i64) -> Result<()> {
    if transfers.is_empty() {
        return Ok(());
    }
    write_rows!(connection, InsertTransfers, transfers, |transfer| {
        transfer.id.as_str() => Text,
        transfer.claim_id.as_str() => Text,
        transfer.kind.as_str() => Text,
        transfer.debit.to_string() => Text,
        transfer.credit.to_string() => Text,
        transfer.amount_cents => BigInt,
        transfer.weight.as_str() => Text,
        transfer.ends_pending.as_deref() => Nullable<Text>,
        transfer.reverses.as_deref() => Nullable<Text>,
        now_us => BigInt,
    })?;
    Ok(())
}

/// How much the transfer with this id moved, where it is booked.
pub fn amount_cents(connection: &mut Connection, transfer_id: &str) -> Result<Option<i64>> {
    Ok(on_each_backend!(connection, |c| {
        ledger_transfers::table.find(transfer_id).select(ledger_transfers::amount_cents).first(c).optional()
    })?)
}

/// A claim's transfers, in the order in which they were booked.
pub fn of_claim(connection: &mut Connection, claim_id: &str) -> Result<Vec<TransferRow>> {
    // Their ids begin with the claim's and a dot; a slash is the next character.
    let [first, end] = [format!("{claim_id}."), format!("{claim_id}/")];
    Ok(on_each_backend!(connection, |c| {
        ledger_transfers::table
            .filter(ledger_transfers::id.gt(&first).and(ledger_transfers::id.lt(&end)))
            .filter(ledger_transfers::claim_id.eq(claim_id))
            .order((ledger_transfers::booked_at_us, ledger_transfers::id))
            .select(TransferRow::as_select())
            .load(c)
    })?)
}

/// Both sides of every transfer that counts.
const ENTRIES: &str = "
    WITH entries AS (
        SELECT claim_id, debit_account AS account, amount_cents AS debit, 0 AS credit
        FROM ledger_transfers WHERE weight = 'posted'
        UNION ALL
        SELECT claim_id, credit_account, 0, amount_cents FROM ledger_transfers WHERE weight = 'posted'
    )";

/// Reservations that nothing ended.
const OPEN_RESERVES: &str = ", open_reserves AS (
        SELECT p.claim_id, p.credit_account, p.amount_cents FROM ledger_transfers p
        WHERE p.weight = 'pending' AND NOT EXISTS (SELECT 1 FROM ledger_transfers e WHERE e.ends_pending = p.id)
    )";

/// Each saga with its books. A claim that is at rest is off where its money is not where its outcome puts it: settled is paid
/// and nothing else stands open, unwound left no trace, but that the provider owes what could not be taken back.
const BOOKS: &str = ", books AS (
        SELECT s.claim_id, s.state, s.amount_cents,
               CAST(COALESCE(SUM(e.debit), 0) AS BIGINT) AS debits_cents,
               CAST(COALESCE(SUM(e.credit), 0) AS BIGINT) AS credits_cents,
               CAST(COALESCE(SUM(CASE WHEN e.account = 'cash' THEN e.credit - e.debit ELSE 0 END), 0) AS BIGINT) AS cash_out_cents,
               CAST(COALESCE(SUM(CASE WHEN e.account LIKE 'provider_payable:%' THEN e.credit - e.debit ELSE 0 END), 0) AS BIGINT)
                   AS payable_cents,
               CAST(COALESCE(SUM(CASE WHEN e.account LIKE 'plan_budget:%' THEN e.debit - e.credit ELSE 0 END), 0) AS BIGINT)
                   AS budget_cents,
               CAST(COALESCE(SUM(CASE WHEN e.account LIKE 'receivable:%' THEN e.debit - e.credit ELSE 0 END), 0) AS BIGINT)
                   AS receivable_cents,
               CAST(COALESCE(o.amount_cents, 0) AS BIGINT) AS pending_cents
        FROM sagas s LEFT JOIN entries e ON e.claim_id = s.claim_id
             LEFT JOIN (SELECT claim_id, SUM(amount_cents) AS amount_cents FROM open_reserves GROUP BY claim_id) o
             ON o.claim_id = s.claim_id
        GROUP BY s.claim_id, s.state, s.amount_cents, o.amount_cents
    )";

const OFF: &str = "(state = 'settled' AND (cash_out_cents <> CASE WHEN amount_cents > 0 THEN amount_cents ELSE 0 END
                        OR budget_cents <> amount_cents OR payable_cents <> 0 OR pending_cents <> 0))
    OR (state = 'unwound' AND (cash_out_cents <> receivable_cents OR receivable_cents < 0 OR budget_cents <> 0 OR payable_cents <> 0 OR pending_cents <> 0))
    OR debits_cents <> credits_cents";

/// What counts on one account.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Turnover {
    /// The kind of account: what stands before the colon in its name.
    #[diesel(sql_type = Text)]
    pub account: String,
    /// The sum of what was debited, in cents.
    #[diesel(sql_type = BigInt)]
    pub debits_cents: i64,
    /// The sum of what was credited, in cents.
    #[diesel(sql_type = BigInt)]
    pub credits_cents: i64,
}

/// A claim's saga and books.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct ClaimBooks {
    /// The claim.
    #[diesel(sql_type = Text)]
    pub claim_id: String,
    /// Where its saga stands.
    #[diesel(sql_type = Text)]
    pub state: State,
    /// What was due, in cents.
    #[diesel(sql_type = BigInt)]
    pub amount_cents: i64,
    /// The sum of the debits that count, in cents.
    #[diesel(sql_type = BigInt)]
    pub debits_cents: i64,
    /// The sum of the credits that count, in cents.
    #[diesel(sql_type = BigInt)]
    pub credits_cents: i64,
    /// Money out less money back, in cents.
    #[diesel(sql_type = BigInt)]
    pub cash_out_cents: i64,
    /// What stays owed to the provider, in cents.
    #[diesel(sql_type = BigInt)]
    pub payable_cents: i64,
    /// Pending transfers that nothing ended, in cents.
    #[diesel(sql_type = BigInt)]
    pub pending_cents: i64,
}

/// Debits and credits that count, by kind of account.
pub fn turnovers(connection: &mut Connection) -> Result<Vec<Turnover>> {
    let sql = format!(
        "{ENTRIES}, kinds AS (
            SELECT CASE WHEN account LIKE 'plan_budget:%' THEN 'plan_budget'
                        WHEN account LIKE 'provider_payable:%' THEN 'provider_payable'
                        WHEN account LIKE 'receivable:%' THEN 'receivable' ELSE account END AS account, debit, credit
            FROM entries
        )
        SELECT account, CAST(SUM(debit) AS BIGINT) AS debits_cents, CAST(SUM(credit) AS BIGINT) AS credits_cents
        FROM kinds GROUP BY account ORDER BY account"
    );
    Ok(on_each_backend!(connection, |c| sql_query(&sql).load(c))?)
}

/// The books of up to `limit` claims after `after`, in the order of their ids.
pub fn books(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<ClaimBooks>> {
    let sql =
        format!("{ENTRIES}{OPEN_RESERVES}{BOOKS} SELECT * FROM books WHERE claim_id > $1 ORDER BY claim_id LIMIT $2");
    Ok(on_each_backend!(connection, |c| sql_query(&sql).bind::<Text, _>(after).bind::<BigInt, _>(limit).load(c))?)
}

/// Claims whose money is not where it should be, up to `limit`.
pub fn books_that_are_off(connection: &mut Connection, limit: i64) -> Result<Vec<ClaimBooks>> {
    let sql = format!("{ENTRIES}{OPEN_RESERVES}{BOOKS} SELECT * FROM books WHERE {OFF} ORDER BY claim_id LIMIT $1");
    Ok(on_each_backend!(connection, |c| sql_query(&sql).bind::<BigInt, _>(limit).load(c))?)
}

/// What stands on an account.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Balance {
    /// The account's name.
    #[diesel(sql_type = Text)]
    pub account: String,
    /// The sum of the debits that count, in cents.
    #[diesel(sql_type = BigInt)]
    pub debits_cents: i64,
    /// The sum of the credits that count, in cents.
    #[diesel(sql_type = BigInt)]
    pub credits_cents: i64,
    /// What is reserved to be credited, in cents.
    #[diesel(sql_type = BigInt)]
    pub pending_cents: i64,
}

/// What stands on up to `limit` accounts whose names come after `after`, in the order of their names.
pub fn balances(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<Balance>> {
    let sql = format!(
        "{ENTRIES}{OPEN_RESERVES}, lines AS (
            SELECT account, debit, credit, 0 AS pending FROM entries
            UNION ALL
            SELECT credit_account, 0, 0, amount_cents FROM open_reserves
        )
        SELECT account, CAST(SUM(debit) AS BIGINT) AS debits_cents, CAST(SUM(credit) AS BIGINT) AS credits_cents,
               CAST(SUM(pending) AS BIGINT) AS pending_cents
        FROM lines WHERE account > $1 GROUP BY account ORDER BY account LIMIT $2"
    );
    Ok(on_each_backend!(connection, |c| sql_query(&sql).bind::<Text, _>(after).bind::<BigInt, _>(limit).load(c))?)
}
